"""clang-format and clang-tidy, the versions that tools/packages.txt names."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

from tree import Finding

FORMAT = "clang-format-19"
TIDY = "clang-tidy-19"


def check_format(tree):
    findings = []
    paths = tree.cpp()
    for start in range(0, len(paths), 100):
        result = subprocess.run([FORMAT, "--dry-run", *paths[start:start + 100]], cwd=tree.root,
                                capture_output=True, text=True, check=False)
        named = dict.fromkeys(re.findall(r"^(\S+?):\d+:\d+: warning: code should be clang-formatted", result.stderr, re.M))
        findings += [Finding(path, 0, "format", "./do tidy --fix") for path in named]
        if result.returncode != 0:
            findings.append(Finding(".clang-format", 0, "format", result.stderr.strip()[:500]))
    return findings


def fix_format(tree):
    paths = tree.cpp()
    if paths:
        subprocess.run([FORMAT, "-i", *paths], cwd=tree.root, check=True)


def _git(root, *arguments):
    result = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else None


# Work lands several commits at a time: on the main branch, what the last of them touched counts as changed.
COMMITS_LOOKED_AT = 10


def base_commit(root):
    """Where this branch left the main one; on the main one, some commits before. None in a clone without history."""
    head = _git(root, "rev-parse", "HEAD")
    base = _git(root, "merge-base", "HEAD", "origin/main")
    if base in (None, head):
        past = (_git(root, "rev-list", "--first-parent", f"--max-count={COMMITS_LOOKED_AT + 1}", "HEAD") or "").split()
        base = past[-1] if len(past) > 1 else None
    return base


def changed_sources(tree, since):
    """The .cc files to look at, the latest changed first: changed ones, and for a changed header a witness of it."""
    changed = (_git(tree.root, "ls-files", "--others", "--exclude-standard") or "").split("\n")
    changed += (_git(tree.root, "diff", "--name-only", "HEAD") or "").split("\n")
    changed += (_git(tree.root, "log", "--format=", "--name-only", f"{since}..HEAD") or "").split("\n")
    changed = [path for path in changed if path in tree.files]
    sources = [path if path.endswith(".cc") else _witness(tree, path) for path in changed if path.endswith((".cc", ".h"))]
    if ".clang-tidy" in changed:
        sources += [path for path in tree.cpp() if path.endswith(".cc")]
    return list(dict.fromkeys(source for source in sources if source))


def _witness(tree, header):
    """The source beside the header, or one that includes it."""
    beside = re.sub(r"\.h$", ".cc", header)
    if beside in tree.files:
        return beside
    line = f'#include "{header.removeprefix("src/")}"'
    return next((path for path in tree.cpp() if path.endswith(".cc") and line in tree.files[path]), None)


def _tidy_one(root, build, path):
    result = subprocess.run([TIDY, "--quiet", "-p", build, path], cwd=root, capture_output=True, text=True, check=False)
    findings = []
    for match in re.finditer(r"^(\S+?):(\d+):\d+: (?:warning|error): (.*)$", result.stdout, re.M):
        name = os.path.relpath(match.group(1), root) if os.path.isabs(match.group(1)) else match.group(1)
        findings.append(Finding(name, int(match.group(2)), "clang-tidy", match.group(3)))
    if result.returncode != 0 and not findings:
        findings.append(Finding(path, 0, "clang-tidy", (result.stderr or result.stdout).strip()[-500:]))
    return findings


_INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.M)


def _reaches(tree, path):
    """The project's files that `path` includes, itself first, through any number of steps."""
    found, waiting = {}, [path]
    while waiting:
        name = waiting.pop()
        if name in found or name not in tree.files:
            continue
        found[name] = tree.files[name]
        folder = os.path.dirname(name)
        for target in _INCLUDE.findall(tree.files[name]):
            # From src/, from the top, from the folder itself, or from one above it (-I of tests and benchmarks).
            waiting += [f"src/{target}", target, f"{folder}/{target}", f"{os.path.dirname(folder)}/{target}"]
    return found


class CleanFiles:
    """Remembers which inputs clang-tidy had nothing to say about, by a hash of everything it looked at.

    Shared by all checkouts of a user, like the compiler cache; system headers are taken to change only with the
    version of the compiler. Anything that was not clean is looked at again.
    """

    def __init__(self, tree, build):
        self.tree = tree
        self.build = build
        base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
        self.folder = pathlib.Path(base) / "lockstep" / "tidy"
        version = subprocess.run([TIDY, "--version"], capture_output=True, text=True, check=True).stdout
        self.settings = version + (pathlib.Path(tree.root) / ".clang-tidy").read_text()

    def _key(self, path, command):
        reached = sorted(_reaches(self.tree, path).items())
        # The same from any checkout and with any build folder; what is generated into one follows from its sources.
        command = command.replace(str(self.build), "").replace(str(self.tree.root), "")
        text = json.dumps([self.settings, command, reached])
        return hashlib.sha256(text.encode()).hexdigest()

    def knows(self, path, command):
        return (self.folder / self._key(path, command)).exists()

    def remember(self, path, command):
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / self._key(path, command)).touch()
        except OSError:
            pass  # no place for a cache: slower, not wrong


def _commands(tree, build):
    """How each source is compiled: the last way, if there are several, which for libraries is the planted twin."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        return {os.path.relpath(entry["file"], tree.root): entry for entry in json.load(file)}


def check_clang_tidy(tree, build, sources, budget_s):
    """Returns (findings, files checked, files left out because the time was up)."""
    entries = _commands(tree, build)
    clean = CleanFiles(tree, build)
    sources = [path for path in sources if path in entries]
    waiting = [path for path in sources if not clean.knows(path, entries[path]["command"])]
    deadline = time.monotonic() + budget_s
    findings, left = set(), []
    # clang-tidy runs once for each way in which a file is compiled: one is enough.
    with tempfile.TemporaryDirectory() as commands:
        (pathlib.Path(commands) / "compile_commands.json").write_text(json.dumps(list(entries.values())))

        def run(path):
            return None if time.monotonic() > deadline else _tidy_one(tree.root, commands, path)

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for path, result in zip(waiting, pool.map(run, waiting)):
                if result is None:
                    left.append(path)
                elif result:
                    findings |= set(result)
                else:
                    clean.remember(path, entries[path]["command"])
    return sorted(findings), len(sources) - len(left), left
