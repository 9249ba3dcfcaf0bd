"""Promises of the prose that are not kept are found."""

import unittest

import support
from documents import INDEX, check_citations, check_dead_files, check_decisions, check_folders, check_links, indexed

README = "This folder does one thing. " * 10


class Folders(unittest.TestCase):
    def test_a_folder_without_readme_is_found(self):
        files = {"src/raft/core.h": "// Contract.\n#pragma once\n"}
        self.assertEqual(support.rules(check_folders(support.tree(files))), ["folder-readme"])
        self.assertEqual(check_folders(support.tree({**files, "src/raft/README.md": README})), [])

    def test_a_header_needs_contract_and_guard(self):
        files = {"src/raft/README.md": README, "src/raft/core.h": "#include <map>\n"}
        self.assertEqual(support.rules(check_folders(support.tree(files))), ["header-contract", "header-guard"])


class DeadFiles(unittest.TestCase):
    def test_a_source_that_nobody_builds_is_found(self):
        files = {"src/raft/CMakeLists.txt": "lockstep_library(raft SOURCES core.cc)", "src/raft/core.cc": "", "src/raft/old.cc": ""}
        self.assertEqual([finding.path for finding in check_dead_files(support.tree(files))], ["src/raft/old.cc"])

    def test_a_longer_name_does_not_count(self):
        files = {"src/raft/CMakeLists.txt": "SOURCES my_core.cc", "src/raft/core.cc": ""}
        self.assertEqual(len(check_dead_files(support.tree(files))), 1)

    def test_a_parent_may_name_it(self):
        files = {"src/raft/CMakeLists.txt": "SOURCES parts/core.cc", "src/raft/parts/core.cc": ""}
        self.assertEqual(check_dead_files(support.tree(files)), [])


class Links(unittest.TestCase):
    def test_dead_links_and_paths_are_found(self):
        files = {"docs/a.md": "[x](b.md) [y](../README.md#part) `src/raft/core.h` `src/raft/gone.h` `src/*/core.h`",
                 "README.md": "[out](https://example.org/x)", "src/raft/core.h": ""}
        found = [finding.message for finding in check_links(support.tree(files))]
        self.assertEqual(found, ["b.md does not exist", "src/raft/gone.h does not exist"])

    def test_a_cited_function_must_exist(self):
        files = {"a.md": "`Raft::tick()` `Raft::gone()`", "src/raft/raft.cc": "void Raft::tick(TimePoint now) {\n"}
        self.assertEqual([finding.message for finding in check_links(support.tree(files))], ["no source defines Raft::gone()"])

    def test_a_cited_planted_bug_must_exist(self):
        files = {"a.md": "planted `one_bug`, `gone_bug` and `two_bug`", "src/base/planted.h": 'X(one_bug, "x") X(two_bug, "y")'}
        self.assertEqual([finding.message for finding in check_links(support.tree(files))], ["no planted bug is called gone_bug"])

    def test_a_document_that_a_source_names_must_exist(self):
        files = {"src/raft/core.h": "// docs/formats/log.md has the bytes, docs/formats/gone.md has not.\n", "docs/formats/log.md": ""}
        self.assertEqual([finding.message for finding in check_citations(support.tree(files))], ["docs/formats/gone.md does not exist"])

    def test_a_cited_test_must_exist(self):
        files = {"a.md": "`Election.OneLeader` `Election.Gone`", "src/raft/core_test.cc": "TEST(Election, OneLeader) {\n"}
        self.assertEqual([finding.message for finding in check_links(support.tree(files))], ["no test is called Election.Gone"])


class Decisions(unittest.TestCase):
    def test_the_index_must_be_up_to_date(self):
        files = {INDEX: "# Decisions\n\n<!-- index -->\n", "docs/decisions/0001-own-raft.md": "# 0001: Own Raft\n"}
        self.assertEqual(support.rules(check_decisions(support.tree(files))), ["decisions"])
        files[INDEX] = indexed(support.tree(files))
        self.assertIn("- [0001](0001-own-raft.md): Own Raft", files[INDEX])
        self.assertEqual(check_decisions(support.tree(files)), [])

    def test_a_decision_has_a_number(self):
        files = {INDEX: "", "docs/decisions/raft.md": "# Raft\n"}
        self.assertEqual(support.rules(check_decisions(support.tree(files))), ["decisions"])

    def test_a_number_is_given_once(self):
        files = {INDEX: "", "docs/decisions/0001-a.md": "# A\n", "docs/decisions/0001-b.md": "# B\n"}
        files[INDEX] = indexed(support.tree(files))
        self.assertEqual(support.rules(check_decisions(support.tree(files))), ["decisions"] * 2)


if __name__ == "__main__":
    unittest.main()
