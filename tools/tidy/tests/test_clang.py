"""The settings of clang-tidy and clang-format find what they are there for."""

import json
import os
import pathlib
import shutil
import tempfile
import unittest

import support
from clang import _reaches, check_clang_tidy, check_format
from tree import Tree

ROOT = pathlib.Path(__file__).resolve().parents[3]

GOOD = """namespace lockstep {

class Counter {
 public:
  explicit Counter(int start) : value_(start) {}
  [[nodiscard]] int value() const { return value_; }

 private:
  int value_;
};

}  // namespace lockstep
"""

BAD = GOOD.replace("explicit Counter", "Counter").replace("value()", "GetValue()")


class Clang(unittest.TestCase):
    def in_folder(self, text, check):
        with tempfile.TemporaryDirectory() as folder:
            for name in (".clang-tidy", ".clang-format"):
                shutil.copy(ROOT / name, folder)
            (pathlib.Path(folder) / "src").mkdir()
            path = pathlib.Path(folder) / "src" / "counter.cc"
            path.write_text(text)
            command = {"directory": folder, "file": str(path), "command": f"clang++-19 -std=c++23 -c {path}"}
            (pathlib.Path(folder) / "compile_commands.json").write_text(json.dumps([command]))
            return check(Tree({"src/counter.cc": text}, folder), folder)

    def tidy(self, text):
        findings, checked, left = self.in_folder(
            text, lambda tree, folder: check_clang_tidy(tree, folder, ["src/counter.cc"], 600))
        self.assertEqual((checked, left), (1, []))
        return " ".join(finding.message for finding in findings)

    def test_clang_tidy(self):
        self.assertEqual(self.tidy(GOOD), "")
        found = self.tidy(BAD)
        self.assertIn("google-explicit-constructor", found)
        self.assertIn("readability-identifier-naming", found)

    def test_clang_tidy_remembers_only_what_was_clean(self):
        with tempfile.TemporaryDirectory() as cache:
            before = os.environ.get("XDG_CACHE_HOME")
            os.environ["XDG_CACHE_HOME"] = cache
            try:
                remembered = []
                for text in (GOOD, GOOD, BAD, BAD):
                    found = self.tidy(text)
                    self.assertEqual(found == "", text == GOOD)
                    remembered.append(len(list(pathlib.Path(cache).rglob("*"))))
            finally:
                os.environ.pop("XDG_CACHE_HOME")
                if before is not None:
                    os.environ["XDG_CACHE_HOME"] = before
            self.assertEqual(remembered, [3, 3, 3, 3], "two folders and one clean input")

    def test_what_a_file_reaches(self):
        tree = support.tree({"src/a/a.cc": '#include "a/a.h"\n', "src/a/a.h": '#include "b/b.h"\n#include <map>\n',
                             "src/b/b.h": "int b;\n", "src/c/c.h": "int c;\n"})
        self.assertEqual(set(_reaches(tree, "src/a/a.cc")), {"src/a/a.cc", "src/a/a.h", "src/b/b.h"})

    def test_clang_tidy_reports_what_does_not_compile(self):
        self.assertIn("undeclared identifier", self.tidy("int f() { return nothing; }\n"))

    def test_clang_format(self):
        self.assertEqual(self.in_folder(GOOD, lambda tree, _: check_format(tree)), [])
        found = self.in_folder(GOOD.replace("  int value_", " int value_"), lambda tree, _: check_format(tree))
        self.assertEqual(support.rules(found), ["format"])


if __name__ == "__main__":
    unittest.main()
