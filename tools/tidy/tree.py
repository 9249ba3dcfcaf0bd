"""The files that are checked, as a map from path to text, and what a check says about them."""

import dataclasses
import pathlib
import re
import subprocess


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One thing that is wrong, and what to do instead. line 0: the whole file."""

    path: str
    line: int
    rule: str
    message: str

    def __str__(self):
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: [{self.rule}] {self.message}"


class Tree:
    """The text files of the repository by path relative to its root. Tests build one from a dict."""

    def __init__(self, files, root=None):
        self.files = dict(sorted(files.items()))
        self.root = root
        self._code = {}

    @staticmethod
    def from_git(root):
        """What git tracks or would track; binary files are left out."""
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=root, check=True, capture_output=True).stdout.decode().split("\0")
        files = {}
        for name in filter(None, names):
            path = pathlib.Path(root) / name
            if not path.is_file() or path.is_symlink():
                continue
            data = path.read_bytes()
            if b"\0" in data:
                continue
            try:
                files[name] = data.decode()
            except UnicodeDecodeError:
                continue  # a corpus file, not a text
        return Tree(files, root)

    def cpp(self, folder=""):
        """C++ sources and headers below a folder."""
        return [path for path in self.files if path.startswith(folder) and path.endswith((".h", ".cc"))]

    def code(self, path):
        """The text without comments and without the contents of strings; line numbers stay."""
        if path not in self._code:
            self._code[path] = strip_comments_and_strings(self.files[path])
        return self._code[path]


_TOKEN = re.compile(
    r"""
    //[^\n]*                              # line comment
  | /\*.*?\*/                             # block comment
  | R"(?P<mark>[^()\s\\]{0,16})\(.*?\)(?P=mark)"   # raw string
  | "(?:\\.|[^"\\\n])*"                   # string
  | (?<![0-9a-zA-Z_])'(?:\\.|[^'\\\n])+'  # character, not a digit separator
    """,
    re.VERBOSE | re.DOTALL)


def strip_comments_and_strings(text):
    def blank(match):
        token = match.group(0)
        newlines = "\n" * token.count("\n")
        if token.startswith(("//", "/*")):
            return newlines or " "
        return token[0].replace("R", '"') + newlines + ('"' if token[0] != "'" else "'")

    return _INCLUDE.sub(lambda match: match.group(0), _TOKEN.sub(blank, text))


_INCLUDE = re.compile(r"^\s*#\s*include[^\n]*", re.MULTILINE)


# What only tests use, where its name does not say so.
TEST_SUPPORT = ("src/raft/random_run.", "src/engine/engine_model.", "src/engine/faulty_file_system.")


def is_test(path):
    """Tests and what only they use."""
    name = path.rsplit("/", 1)[-1]
    return (name.endswith(("_test.cc", "_test.h")) or name.startswith(("test_", "testing_")) or "_test_" in name
            or "/testing/" in path or path.startswith(("tests/", "fuzz/") + TEST_SUPPORT))
