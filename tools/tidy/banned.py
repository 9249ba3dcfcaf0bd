"""Names that must not appear, each with what to write instead and where it is allowed.

The rules look at code without comments and strings, so prose may speak of them.
"""

import dataclasses
import re

from layers import folder_of
from tree import Finding, is_test


@dataclasses.dataclass(frozen=True)
class Ban:
    name: str
    pattern: str
    instead: str
    allowed: frozenset = frozenset()  # layers or top folders
    tests: bool = False  # allowed in tests
    files: tuple = ()  # allowed in these files


# What ends up as a process of its own, or drives one, may look at the clock, print and sleep. The SDK has its caller's
# threads around it.
PROCESSES = frozenset({"platform", "bench", "tools", "server", "cli", "tests", "sdk", "examples"})

# The simulator's program measures its own speed and runs seeds side by side; what it simulates does neither.
SIMULATOR_MAIN = ("src/sim/planted_hunt.cc", "src/sim/runner.cc", "src/sim/runner_main.cc")

BANS = (
    Ban("randomness",
        r"\b(std::rand|srand|random_device|mt19937(_64)?|std::shuffle|default_random_engine"
        r"|uniform_(int|real)_distribution)\b|(?<![\w:.>])rand\(\)",
        "base/prng.h, seeded through env::Random: a run must replay from its seed", PROCESSES),
    Ban("clock",
        r"\b(steady_clock|system_clock|high_resolution_clock)::now\b|\b(gettimeofday|clock_gettime)\b"
        r"|(?<![\w.>])(std::)?time\((nullptr|NULL|0)\)",
        "time comes in through env::Clock or with the input", PROCESSES,
        files=SIMULATOR_MAIN),
    Ban("threads",
        r"\b(std::(thread|jthread|mutex|shared_mutex|recursive_mutex|condition_variable(_any)?|async|call_once)"
        r"|pthread_\w+)\b",
        "env::Executor and env::Worker; below platform there is one strand", PROCESSES | {"engine"},
        files=SIMULATOR_MAIN),
    Ban("thread-local", r"\bthread_local\b", "state belongs to an object that is passed in", PROCESSES | {"sim"},
        files=("src/base/task.h",)),  # the resume loop, empty between two closures of a strand
    Ban("sleep", r"\b(sleep_for|sleep_until|usleep|nanosleep)\b|(?<!\w)::sleep\(",
        "env::Executor::schedule; a test drives the clock itself", PROCESSES),
    Ban("files",
        r"\b(std::(ifstream|ofstream|fstream|filesystem)|fopen|mmap|pwrite|pread)\b|(?<![\w:.>])::(open|socket|write|read)\(",
        "env::Disk and env::Network", PROCESSES | {"engine", "sim", "fuzz"}, tests=True),
    Ban("printing", r"\bstd::(cout|cerr|clog)\b|(?<![\w:.>])(std::)?(printf|fprintf|puts)\(",
        "return a Status, or a trace line in the output", PROCESSES | {"sim", "fuzz"}, tests=True,
        files=("src/base/assert.cc",)),
    Ban("asio", r"\basio\b", "sockets and timers live in platform/", frozenset({"platform", "gateway", "remote", "tests", "bench"})),
    Ban("assert", r"(?<![\w_])assert\(|<cassert>", "LS_MUST (base/assert.h): assertions are on in every build"),
    Ban("using-namespace", r"\busing\s+namespace\s+std\s*;", "name what is used"),
    Ban("pointer-order", r"\bstd::(map|set|multimap|multiset)<\s*(const\s+)?[\w:]+\s*\*",
        "an id as the key: addresses differ from run to run"),
)

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")

# Places that exist on one machine only. A temporary folder is asked for, never named.
MACHINE_PATHS = re.compile(r"(?<![\w.$}])/(work|home|root|tmp|Users)/\w|\.\./shared\b")

# This folder writes the patterns down.
SELF = "tools/tidy/"

# Golden files and fuzz inputs are data.
DATA = ("fuzz/corpus/",)


def check_banned(tree):
    findings = []
    for path in tree.cpp():
        folder = folder_of(path)
        bans = [ban for ban in BANS
                if folder not in ban.allowed and path not in ban.files and not (ban.tests and is_test(path))]
        for number, line in enumerate(tree.code(path).split("\n"), 1):
            for ban in bans:
                match = re.search(ban.pattern, line)
                if match:
                    findings.append(Finding(path, number, ban.name, f"not `{match.group(0)}` here: {ban.instead}"))
    return findings


def check_texts(tree):
    """In every file, comments and prose included."""
    findings = []
    for path, text in tree.files.items():
        if path.startswith(SELF) or path.startswith(DATA) or "/testdata/" in path:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            match = UNFINISHED.search(line)
            if match:
                findings.append(Finding(path, number, "unfinished",
                                        f"{match.group(0)}: finish it, or write down what is missing where users look"))
            match = MACHINE_PATHS.search(line)
            if match:
                findings.append(Finding(path, number, "machine-path", f"`{match.group(0)}` is a place on one machine"))
    return findings


_UNORDERED = re.compile(
    r"\b(?:std::unordered_(?:map|set|multimap|multiset)|absl::(?:flat|node)_hash_(?:map|set))<")
_RANGE_FOR = re.compile(r"\bfor\s*\([^;:]*[^:]:\s*(?:this->)?([A-Za-z_]\w*)\s*\)")
# Where the order of a walk can reach an output, a message or a digest.
ORDERED_LAYERS = {"raft", "log", "store", "watch", "replica", "engine", "sim", "service"}


def _declared_after(code, start):
    """The name declared with the template type that opens at `start`, or None."""
    depth = 0
    for index in range(start, min(len(code), start + 2000)):
        if code[index] == "<":
            depth += 1
        elif code[index] == ">":
            depth -= 1
            if depth == 0:
                match = re.match(r"\s*([A-Za-z_]\w*)\s*[;{=]", code[index + 1:index + 120])
                return match.group(1) if match else None
    return None


def check_unordered(tree):
    """A walk over a hash container needs a comment saying why its order cannot matter: "// order: ..."."""
    findings = []
    for path in tree.cpp("src/"):
        if folder_of(path) not in ORDERED_LAYERS or is_test(path):
            continue
        names = set()
        for source in {path, re.sub(r"\.cc$", ".h", path)} & tree.files.keys():
            code = tree.code(source)
            names |= {_declared_after(code, match.end() - 1) for match in _UNORDERED.finditer(code)}
        lines = tree.files[path].split("\n")
        for number, line in enumerate(tree.code(path).split("\n"), 1):
            match = _RANGE_FOR.search(line)
            if not match or match.group(1) not in names:
                continue
            if "// order: " in lines[number - 1] or (number > 1 and "// order: " in lines[number - 2]):
                continue
            findings.append(Finding(path, number, "unordered-walk",
                                    f"`{match.group(1)}` has no stable order: sort, or say above why none is "
                                    "needed (// order: ...)"))
    return findings
