"""How long files and functions are, against limits and a list of known exceptions that may only shrink."""

import re

from tree import Finding

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
EXCEPTIONS = "tools/tidy/known_exceptions.txt"

_NAMESPACE = re.compile(r"^\s*(inline\s+)?namespace\b|^\s*extern\s*\"\"\s*$")
_TYPE = re.compile(r"^\s*(template\s*<.*>\s*)?(requires\b.*)?(typedef\s+)?(class|struct|union|enum)\b[^()]*$", re.DOTALL)
_INITIALIZERS = re.compile(r"\)\s*(noexcept\s*(\([^)]*\))?\s*)?:(?!:)")
_NAME = re.compile(r"(operator\s*\S{1,3}|[~A-Za-z_][\w:~]*)\s*\(")


def _without_preprocessor(code):
    lines, inside = [], False
    for line in code.split("\n"):
        inside = inside or line.lstrip().startswith("#")
        lines.append("" if inside else line)
        inside = inside and line.rstrip().endswith("\\")
    return "\n".join(lines)


def _opens(head, inside_scope):
    """What an opening brace after the text `head` begins: scope, function or other."""
    if not inside_scope:
        return "other"
    if _NAMESPACE.search(head):
        return "scope"
    if _TYPE.search(head):
        return "scope"
    if "(" not in head:
        return "other"
    # In a constructor's initializer list, a brace after a name is a member's value, not the body.
    if _INITIALIZERS.search(head) and re.search(r"[\w>]\s*$", head):
        return "other"
    return "function"


def functions(code):
    """Yields (name, first line, last line) of each function with a body at namespace or class level."""
    stack, head, head_line, line = [], "", 0, 1
    for character in _without_preprocessor(code):
        if character == "\n":
            line += 1
        in_scope = not stack or stack[-1][0] == "scope"
        if character == "{":
            kind = _opens(head, in_scope)
            stack.append((kind, head, head_line))
            head = head + "{}" if in_scope and kind == "other" else ""
        elif character == "}":
            if not stack:
                continue
            kind, opened_by, first = stack.pop()
            if kind == "function":
                name = _NAME.search(opened_by)
                yield (name.group(1) if name else "?"), first, line
            if kind != "other":
                head = ""
        elif character == ";" and in_scope:
            head = ""
        elif in_scope:
            if not head.strip():
                head_line = line
                head = ""
            head += character


def measure(tree):
    """{(kind, path, name): (lines, line number)} of everything over its limit."""
    over = {}
    for path, text in tree.files.items():
        if not path.endswith((".h", ".cc", ".py", ".sh", ".cmake", "CMakeLists.txt")):
            continue
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            over["file", path, "-"] = (lines, 0)
    for path in tree.cpp():
        for name, first, last in functions(tree.code(path)):
            length = last - first + 1
            if length > FUNCTION_LINES_MAX:
                known = over.get(("function", path, name), (0, 0))
                over["function", path, name] = max(known, (length, first))
    return over


def read_exceptions(text):
    exceptions = {}
    for line in text.split("\n"):
        fields = line.split("#")[0].split()
        if fields:
            kind, path, name, lines = fields
            exceptions[kind, path, name] = int(lines)
    return exceptions


def check_lengths(tree):
    findings, over = [], measure(tree)
    exceptions = read_exceptions(tree.files.get(EXCEPTIONS, ""))
    for key, (lines, number) in over.items():
        kind, path, name = key
        limit = FILE_LINES_MAX if kind == "file" else FUNCTION_LINES_MAX
        what = "this file" if kind == "file" else f"{name}()"
        allowed = exceptions.get(key)
        if allowed is None:
            findings.append(Finding(path, number, "length", f"{what} has {lines} lines, more than {limit}: split it"))
        elif lines > allowed:
            findings.append(Finding(path, number, "length", f"{what} grew from {allowed} to {lines} lines: split it"))
        elif lines < allowed:
            findings.append(Finding(path, number, "length",
                                    f"{what} shrank to {lines} lines: lower the {allowed} in {EXCEPTIONS} (--fix does)"))
    for kind, path, name in exceptions.keys() - over.keys():
        findings.append(Finding(path, 0, "length", f"{kind} {name} is within its limit: drop it from {EXCEPTIONS} (--fix does)"))
    return findings


def lowered_exceptions(tree):
    """The text of the exceptions file after --fix: entries only shrink or go, none is added."""
    over, kept = measure(tree), []
    for line in tree.files.get(EXCEPTIONS, "").split("\n"):
        fields = line.split("#")[0].split()
        if not fields:
            kept.append(line)
            continue
        key, allowed = tuple(fields[:3]), int(fields[3])
        if key in over:
            lines = min(over[key][0], allowed)
            kept.append(re.sub(rf"\b{allowed}\b(?=\s*(#|$))", str(lines), line, count=1))
    return "\n".join(kept)
