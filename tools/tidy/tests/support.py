"""What the tests of the style rules share."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from tree import Tree  # noqa: E402  (the path comes first)


def tree(files):
    return Tree(files)


def rules(findings):
    return [finding.rule for finding in findings]
