"""Installs the SDK into a temporary folder, builds a program's project against it with GCC 12 and with clang, by
find_package and by pkg-config, and runs what was built against a real lockstepd."""

import argparse
import http.server
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "tests" / "clients"))
import servers  # noqa: E402

COMPILERS = ("g++-12", "clang++-19")
EXAMPLES = "share/doc/lockstep/examples"


def run(*command, **options):
    result = subprocess.run([str(part) for part in command], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, timeout=300, **options)
    if result.returncode != 0:
        sys.exit(f"FAILED with {result.returncode}: {' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


# "```cpp run" begins a piece of a program in which `client` is open; "```cpp program" a whole one.
_SNIPPET = re.compile(r"^```cpp (run|program)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PAGE = """#include <chrono>
#include <iostream>
#include <lockstep/lockstep.h>
#include <lockstep/testing.h>
#include <string>
using namespace std::chrono_literals;
using namespace lockstep;
namespace {
%s}  // namespace
int main(int, char** arguments) {
  Client client(arguments[1]);
%s}
"""


def extract_snippets(documents, folder):
    """One program a page: its pieces one after the other, each a function. And each whole program."""
    for page in sorted(documents.rglob("*.md")):
        name = "snippets_" + "_".join(page.relative_to(documents).with_suffix("").parts).replace("-", "_").replace(".", "_")
        pieces = []
        for number, (kind, text) in enumerate(_SNIPPET.findall(page.read_text())):
            if kind == "program":
                (folder / f"{name}_{number}.cc").write_text(text)
            else:
                pieces.append((number, text))
        if pieces:
            functions = "".join(f"void piece_{number}([[maybe_unused]] Client& client) {{\n{text}}}\n" for number, text in pieces)
            calls = "".join(f"  piece_{number}(client);\n" for number, _ in pieces)
            (folder / f"{name}.cc").write_text(_PAGE % (functions, calls))
    return [path.stem for path in sorted(folder.glob("snippets_*.cc"))]


def build_consumer(compiler, prefix, folder, snippets):
    build = folder / compiler
    run("cmake", "-G", "Ninja", "-S", HERE / "consumer", "-B", build, f"-DCMAKE_CXX_COMPILER={compiler}",
        f"-DCMAKE_PREFIX_PATH={prefix}", f"-DEXAMPLES={prefix / EXAMPLES}", f"-DSNIPPETS={snippets}")
    run("ninja", "-C", build, "-j", "2")
    return build


def build_by_pkg_config(compiler, prefix, folder):
    """One example with nothing but the flags that pkg-config tells."""
    found = subprocess.run(["pkg-config", "--cflags", "--libs", "lockstep"], check=True, text=True, capture_output=True,
                           env={**os.environ, "PKG_CONFIG_PATH": str(next(prefix.glob("lib*/pkgconfig")))})
    program = folder / "by_pkg_config"
    run(compiler, "-std=c++20", prefix / EXAMPLES / "lock.cc", "-o", program, *found.stdout.split())
    return program


def write_snippets(folder):
    """The whole programs in the documentation, one file each; their names."""
    names = []
    documents = HERE.parents[2] / "docs"
    for page in sorted([*(documents / "coordination").glob("*.md"), *(documents / "transactions").glob("*.md")]):
        for number, code in enumerate(re.findall(r"^```cpp\n(.*?)^```$", page.read_text(), re.M | re.S)):
            names.append(f"docs_{page.stem.replace('-', '_')}_{number + 1}")
            (folder / f"{names[-1]}.cc").write_text(code)
    if len(names) < 5:
        sys.exit("the documentation's programs were not found")
    return names


class Willing(http.server.BaseHTTPRequestHandler):
    """A service that says yes to everything, for programs that need one."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True)
    parser.add_argument("--lockstepd", required=True)
    arguments = parser.parse_args()
    servers.need(*COMPILERS, "cmake", "ninja", "pkg-config")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        prefix = folder / "installed"
        run("cmake", "--install", arguments.build, "--prefix", prefix, "--component", "sdk")
        snippets = folder / "snippets"
        snippets.mkdir()
        documented = write_snippets(snippets) + extract_snippets(HERE.parents[2] / "docs" / "sdk", snippets)
        programs = [build_by_pkg_config(COMPILERS[0], prefix, folder)]
        builds = [build_consumer(compiler, prefix, folder, snippets) for compiler in COMPILERS]
        server = servers.lockstepd(arguments.lockstepd, str(folder), "--callouts-allow-loopback=true")
        service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Willing)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{service.server_address[1]}"
        try:
            for build in builds:
                print(build.name, run(build / "smoke", server.endpoint, f"{build.name}/").strip())
                programs += [build / name for name in ("lock", *documented)]
            for program in programs:
                print(program.name, run(program, server.endpoint, url, cwd=folder).strip())
        finally:
            server.stop()
            service.shutdown()


if __name__ == "__main__":
    main()
