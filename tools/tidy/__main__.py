"""Style as a test. Called by ./do tidy; python3 tools/tidy --help"""

import argparse
import os
import pathlib
import sys

import banned
import clang
import documents
import layers
import lengths
from tree import Tree

CHECKS = (
    ("layers", layers.check_includes),
    ("banned names", banned.check_banned),
    ("texts", banned.check_texts),
    ("unordered walks", banned.check_unordered),
    ("lengths", lengths.check_lengths),
    ("folders", documents.check_folders),
    ("dead files", documents.check_dead_files),
    ("links", documents.check_links),
    ("citations", documents.check_citations),
    ("decisions", documents.check_decisions),
    ("format", clang.check_format),
)


def fix(root):
    tree = Tree.from_git(root)
    clang.fix_format(tree)
    tree = Tree.from_git(root)
    for path, text in ((lengths.EXCEPTIONS, lengths.lowered_exceptions(tree)), (documents.INDEX, documents.indexed(tree))):
        if path in tree.files and tree.files[path] != text:
            (pathlib.Path(root) / path).write_text(text)


def report(name, findings, note=""):
    print(f"{'FAILED' if findings else 'ok':6} {name}{note}")
    for finding in findings:
        print(f"       {finding}")
    return 1 if findings else 0


def run_clang_tidy(tree, options):
    if options.all:
        sources = [path for path in tree.cpp() if path.endswith(".cc")]
    else:
        since = options.since or clang.base_commit(tree.root)
        sources = clang.changed_sources(tree, since) if since else [path for path in tree.cpp() if path.endswith(".cc")]
    budget_s = 1e9 if options.all else options.budget_seconds
    findings, checked, left = clang.check_clang_tidy(tree, options.build, sources, budget_s)
    failed = report("clang-tidy", findings, f" ({checked} files)")
    if left:
        print(f"noted  clang-tidy did not check {len(left)} files, the time was up: ./do tidy --all")
        for path in left:
            print(f"       {path}")
    return failed


def main():
    parser = argparse.ArgumentParser(prog="./do tidy")
    parser.add_argument("--all", action="store_true", help="clang-tidy on every file")
    parser.add_argument("--since", help="clang-tidy on what changed since this commit")
    parser.add_argument("--fix", action="store_true", help="format, lower the ratchet, renew the index; then check")
    parser.add_argument("--build", help="a configured build folder, for clang-tidy")
    parser.add_argument("--budget-seconds", type=int, default=600, help="of clang-tidy, unless --all")
    parser.add_argument("--summary", help='write "passed failed" there')
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    if options.build:
        options.build = os.path.abspath(options.build)
    if options.fix:
        fix(root)
    tree = Tree.from_git(root)
    failed = [report(name, check(tree)) for name, check in CHECKS]
    if options.build:
        failed.append(run_clang_tidy(tree, options))
    if options.summary:
        pathlib.Path(options.summary).write_text(f"{len(failed) - sum(failed)} {sum(failed)}\n")
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
