"""What the prose promises about the tree: folders explain themselves, links lead somewhere, cited names exist."""

import posixpath
import re

from tree import Finding, is_test

README_CHARACTERS_MIN = 200
DECISIONS = "docs/decisions/"
INDEX = DECISIONS + "README.md"
_DECISION = re.compile(r"^(\d{4})-[a-z0-9-]+\.md$")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_QUOTED_PATH = re.compile(r"`((?:src|docs|tools|fuzz|bench|tests|cmake)/[\w./*-]+)`")
_QUOTED_FUNCTION = re.compile(r"`([A-Z]\w*::~?\w+)\(\)`")
_PLANTED = re.compile(r"planted ((?:`\w+`(?:, | and )?)+)")
PLANTED_TABLE = "src/base/planted.h"
_QUOTED_CASE = re.compile(r"`([A-Z][A-Za-z0-9]*)\.([A-Z][A-Za-z0-9]*)`")


def check_folders(tree):
    """Each folder of src/ has a README; each header begins with its contract and is included once."""
    findings = []
    for folder in sorted({path.rsplit("/", 1)[0] for path in tree.cpp("src/") if path.count("/") == 2}):
        text = tree.files.get(folder + "/README.md", "")
        if len(text) < README_CHARACTERS_MIN:
            findings.append(Finding(folder + "/README.md", 0, "folder-readme",
                                    "missing or too short: purpose, invariants, where to start reading"))
    for path in tree.cpp("src/"):
        text = tree.files[path]
        if path.endswith(".h"):
            if not text.startswith("//"):
                findings.append(Finding(path, 1, "header-contract", "begin with a comment: what this is and promises"))
            if "#pragma once" not in text:
                findings.append(Finding(path, 1, "header-guard", "#pragma once is missing"))
    return findings


def check_dead_files(tree):
    """A source that no CMakeLists.txt names is not built, and not tested."""
    findings = []
    for path in tree.cpp():
        if not path.endswith(".cc"):
            continue
        folder, listed = path, False
        while folder and not listed:
            folder = folder.rsplit("/", 1)[0] if "/" in folder else ""
            lists = [text for name, text in tree.files.items()
                     if (name.endswith(("CMakeLists.txt", ".cmake")) and posixpath.dirname(name) == folder)
                     or (name.startswith("cmake/") and not folder)]
            relative = path[len(folder) + 1:] if folder else path
            stem = re.sub(r"\.cc$", "", relative)
            listed = any(re.search(rf"(?<![\w]){re.escape(relative)}\b", text)
                         or (path.startswith("fuzz/") and re.search(rf"\b{re.escape(stem.removeprefix('fuzz_'))}\b", text))
                         for text in lists)
        if not listed:
            findings.append(Finding(path, 0, "dead-file", "no CMakeLists.txt names it: build it or delete it"))
    return findings


def _exists(tree, path):
    path = path.rstrip("/")
    if "*" in path:
        pattern = re.compile(re.escape(path).replace(r"\*", r"[^/]*") + "$")
        return any(pattern.match(name) for name in tree.files)
    return path in tree.files or any(name.startswith(path + "/") for name in tree.files)


def check_links(tree):
    findings = []
    cases = None
    for path, text in tree.files.items():
        if not path.endswith(".md"):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            for target in _LINK.findall(line):
                target = target.split("#")[0]
                if not target or re.match(r"[a-z]+:", target):
                    continue
                if not _exists(tree, posixpath.normpath(posixpath.join(posixpath.dirname(path), target))):
                    findings.append(Finding(path, number, "dead-link", f"{target} does not exist"))
            for target in _QUOTED_PATH.findall(line):
                if not _exists(tree, target):
                    findings.append(Finding(path, number, "dead-link", f"{target} does not exist"))
            for name in _QUOTED_FUNCTION.findall(line):
                if not any(name + "(" in tree.files[source] for source in tree.cpp()):
                    findings.append(Finding(path, number, "dead-link", f"no source defines {name}()"))
            for group in _PLANTED.findall(line):
                for name in re.findall(r"\w+", group.replace(" and ", " ")):
                    if not re.search(rf"X\({name},", tree.files.get(PLANTED_TABLE, "")):
                        findings.append(Finding(path, number, "dead-link", f"no planted bug is called {name}"))
            for suite, case in _QUOTED_CASE.findall(line):
                cases = test_cases(tree) if cases is None else cases
                if (suite, case) not in cases:
                    findings.append(Finding(path, number, "dead-link", f"no test is called {suite}.{case}"))
    return findings


_DOCUMENT = re.compile(r"\b(docs/[\w/-]+\.md)\b")


def check_citations(tree):
    """A document that a source names exists."""
    findings = []
    for path in tree.cpp():
        for number, line in enumerate(tree.files[path].split("\n"), 1):
            for target in _DOCUMENT.findall(line):
                if target not in tree.files:
                    findings.append(Finding(path, number, "dead-link", f"{target} does not exist"))
    return findings


def test_cases(tree):
    found = set()
    for path in tree.cpp():
        if is_test(path):
            found |= set(re.findall(r"^TEST(?:_[FP])?\(\s*(\w+),\s*(\w+)\s*\)", tree.files[path], re.MULTILINE))
    return found


def decision_rows(tree):
    """[(number, file name, title)] of the decisions, in order."""
    rows = []
    for path, text in tree.files.items():
        match = _DECISION.match(path.removeprefix(DECISIONS)) if path.startswith(DECISIONS) else None
        if match:
            title = text.split("\n", 1)[0].lstrip("# ").strip()
            rows.append((match.group(1), path.removeprefix(DECISIONS), re.sub(r"^\d{4}[:.]?\s*", "", title)))
    return sorted(rows)


def check_decisions(tree):
    findings, rows = [], decision_rows(tree)
    index = tree.files.get(INDEX, "")
    numbers = [number for number, _, _ in rows]
    for path in tree.files:
        name = path.removeprefix(DECISIONS)
        if path.startswith(DECISIONS) and path != INDEX and not _DECISION.match(name):
            findings.append(Finding(path, 0, "decisions", "call it NNNN-short-name.md, with the next free number"))
    for number, name, _ in rows:
        if numbers.count(number) > 1:
            findings.append(Finding(DECISIONS + name, 0, "decisions", f"the number {number} is taken: use the next free one"))
    if rows and index != indexed(tree):
        findings.append(Finding(INDEX, 0, "decisions", "the index is not up to date: ./do tidy --fix"))
    return findings


def indexed(tree):
    """The text of the index with its table made anew."""
    table = "\n".join(f"- [{number}]({name}): {title}" for number, name, title in decision_rows(tree))
    text = tree.files.get(INDEX, "")
    head = text.split("<!-- index -->")[0]
    return f"{head}<!-- index -->\n\n{table}\n"
