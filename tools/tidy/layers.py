"""Who may include whom. The one place where the layers of src/ are written down.

A file includes its own folder and folders of a lower level; folders of the same level are peers and do not see
each other. `ONLY` narrows that further, `ALSO` widens it.
"""

import re

from tree import Finding, is_test

LEVEL = {
    "base": 0,
    "env": 1,
    "proto": 1,
    "raft": 2,
    "engine": 2,
    "log": 3,
    "store": 3,
    "watch": 4,
    "rpc": 4,
    "replica": 5,
    "remote": 5,
    "service": 6,
    "gateway": 7,
    "platform": 7,
    "sim": 7,
    "server": 8,
    "cli": 8,
}

# The real world knows nothing of what runs on it.
ONLY = {"platform": {"base", "env"}}

# A test may stand on either implementation of the ports.
ALSO_IN_TESTS = {"sim", "platform"}

# Other people's libraries: where their headers may be included. `tests` means test files anywhere.
THIRD_PARTY = {
    "boost/": {"platform", "gateway", "bench"},
    "nghttp2/": {"rpc"},
    "google/protobuf/": {"proto", "gateway", "remote", "cli"},
    "curl/": {"platform"},
    "openssl/": {"platform", "gateway", "server", "cli"},
    "rocksdb/": {"engine"},
    "libpq-fe.h": {"sdk"},
    "mariadb/": {"sdk"},
    "sqlite3.h": {"sdk"},
    "httplib.h": {"examples"},
    "gtest/": {"tests"},
    "gmock/": {"tests"},
    "benchmark/": {"bench"},
    "CLI/": {"sim", "server", "cli", "tools", "bench"},
    "spdlog/": {"platform", "server", "cli", "tools", "bench"},
}

_INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def folder_of(path):
    """The layer of src/<layer>/..., else the top folder."""
    parts = path.split("/")
    return parts[1] if parts[0] == "src" and len(parts) > 2 else parts[0]


def _own_include(path, target, folder):
    """What is wrong with including the project's header `target`, or None."""
    other = target.split("/")[0]
    if not path.startswith("src/") or other == folder:
        return None
    if is_test(path) and other in ALSO_IN_TESTS:
        return None
    if folder in ONLY and other not in ONLY[folder]:
        return f"{folder} may include only {', '.join(sorted(ONLY[folder]))}, not {other}"
    if LEVEL[other] == LEVEL[folder]:
        return f"{folder} and {other} are peers: move what they share below both, or pass it in"
    if LEVEL[other] > LEVEL[folder]:
        return f"{folder} (level {LEVEL[folder]}) may not know {other} (level {LEVEL[other]})"
    return None


def _third_party_include(path, target, folder):
    for prefix, allowed in THIRD_PARTY.items():
        if not target.startswith(prefix):
            continue
        if folder in allowed or is_test(path):
            return None
        return f"<{prefix}...> belongs to {', '.join(sorted(allowed))}, not to {folder}"
    return None


# What users compile: the standard library and itself, nothing else.
SDK_PUBLIC = "sdk/cpp/include/"
# The SDK's own code stands on the recipes and the world, never on a server's or a program's parts.
SDK_NOT = {"gateway", "sim", "server", "cli"}


def _sdk_include(path, quote, target):
    folder = target.split("/")[0]
    if path.startswith(SDK_PUBLIC):
        if "/" in target and folder != "lockstep" or target.endswith(".h") and folder != "lockstep":
            return f"a public header includes <standard headers> and \"lockstep/...\" only, not {target}"
        if folder == "lockstep" and quote != '"':
            return "a public header includes its like by \"lockstep/...\""
    elif folder in SDK_NOT:
        return f"the SDK may not know {folder}"
    return None


def check_includes(tree):
    findings = []
    for path in tree.cpp():
        folder = folder_of(path)
        if path.startswith("src/") and folder not in LEVEL:
            findings.append(Finding(path, 0, "layers", f"src/{folder} has no level: add it to tools/tidy/layers.py"))
            continue
        for number, line in enumerate(tree.files[path].split("\n"), 1):
            match = _INCLUDE.match(line)
            if not match:
                continue
            quote, target = match.groups()
            own = target.split("/")[0] in LEVEL and "/" in target
            if path.startswith("sdk/"):
                problem = _sdk_include(path, quote, target)
            elif quote == '"' and path.startswith("src/") and not own:
                problem = f'write the path from src/: "{folder}/{target}"'
            elif own:
                problem = _own_include(path, target, folder)
            else:
                problem = _third_party_include(path, target, folder)
            if problem:
                findings.append(Finding(path, number, "layers", problem))
    return findings
