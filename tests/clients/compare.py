"""The same scripts of a real client against etcd and against lockstepd; what they print must be the same.

usage: compare.py --client etcdctl|python|node --lockstepd PROGRAM [--packages FOLDER] [--only NAME] [--keep]

Each file in the client's folder is a script: bash with etcdctl, Python with Debian's python3-etcd3, JavaScript with the
npm package etcd3. It sees ENDPOINT (and ETCDCTL_ENDPOINTS) and runs in an empty folder; standard output and error are kept
together. etcd and lockstepd get it at the same time. What may differ is listed below in `normalised`: identities,
addresses, versions and sizes, nothing else. The last line is "N passed, N failed".

The npm package and all it needs are pinned in node/package-lock.json and installed into FOLDER at first use; a registry
that cannot be reached is a failure with its own name, not a skip.
"""

import argparse
import concurrent.futures
import difflib
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

import servers

HERE = pathlib.Path(__file__).parent
# Debian's package belongs to Debian's Python; another may come first in PATH.
SYSTEM_PYTHON = "/usr/bin/python3"


class EtcdctlClient:
    folder, pattern, tools = "etcdctl", "*.sh", ("etcdctl",)
    ends_well = False  # its last command may be one that is refused

    def prepare(self):
        return None

    def command(self, script):
        return ["bash", str(script)]

    def environment(self):
        return {"ETCDCTL_API": "3", "ETCDCTL_DIAL_TIMEOUT": "5s"}


class PythonClient:
    folder, pattern, tools = "python", "test_*.py", (SYSTEM_PYTHON,)
    ends_well = True

    def prepare(self):
        done = subprocess.run([SYSTEM_PYTHON, "-c", "import etcd3"], capture_output=True, text=True)
        return None if done.returncode == 0 else "Debian's python3-etcd3 is missing (./do setup): " + done.stderr[-300:]

    def command(self, script):
        return [SYSTEM_PYTHON, "-B", str(script)]

    def environment(self):
        return {"GRPC_VERBOSITY": "NONE"}


class NodeClient:
    folder, pattern, tools = "node", "test_*.js", ("node", "npm")
    ends_well = True

    def __init__(self, packages):
        self.packages = pathlib.Path(packages).resolve()

    def prepare(self):
        """Installs what the lock file pins, once for each lock file."""
        lock = (HERE / "node" / "package-lock.json").read_bytes()
        stamp = self.packages / "installed"
        identity = hashlib.sha256(lock).hexdigest()
        if stamp.exists() and stamp.read_text() == identity:
            return None
        self.packages.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "node" / name, self.packages / name)
        for pause_s in (0, 5, 15):
            time.sleep(pause_s)
            done = subprocess.run(["npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"],
                                  cwd=self.packages, capture_output=True, text=True, timeout=240)
            if done.returncode == 0:
                stamp.write_text(identity)
                return None
        return "npm cannot install the packages of node/package-lock.json: " + done.stderr[-500:]

    def command(self, script):
        return ["node", str(script)]

    def environment(self):
        return {"NODE_PATH": str(self.packages / "node_modules")}


def normalised(text):
    for pattern, replacement in (
            (r"127\.0\.0\.1:\d+", "ADDRESS"),
            (r'\{"level":"(warn|info)".*\n', ""),           # the client's own log lines: times and addresses
            (r'"(cluster_id|member_id|ID)":\d+', r'"\1":ID'),
            (r"\b[0-9a-f]{15,16}\b", "HEX"),                # members, leases and clusters
            (r'("(?:ClusterID|MemberID|ID)" : )\d+', r"\1ID"),
            (r"took = [\d.]+[µm]?s", "took = TIME"),
            (r'"raft_term":\d+', '"raft_term":TERM'),
            (r'("RaftTerm" : )\d+', r"\1TERM"),
            (r"remaining\(\d+s\)", "remaining(TIME)")):
        text = re.sub(pattern, replacement, text)
    return text


def run_script(client, script, server, folder):
    work = folder / f"work-{server.name}"
    work.mkdir()
    environment = {**os.environ, "ENDPOINT": server.endpoint, "ETCDCTL_ENDPOINTS": server.endpoint, **client.environment()}
    try:
        done = subprocess.run(client.command(script), env=environment, cwd=work, capture_output=True, timeout=120, text=True,
                              errors="replace")
    except subprocess.TimeoutExpired as late:
        return f"{(late.stdout or b'').decode(errors='replace')}--- {server.name}: no end within 120 s\n"
    return normalised(done.stdout + "--- standard error\n" + done.stderr + f"--- status {done.returncode}\n")


def run_on(start, client, script, folder):
    server = start(folder)
    try:
        output = run_script(client, script, server, folder)
    finally:
        status = server.stop()
    if server.name == "lockstepd" and status != 0:
        output += f"--- lockstepd ended with {status}\n" + server.printed()
    return output


def compare(client, script, program, folder):
    starts = (servers.etcd, lambda where: servers.lockstepd(program, where))
    with concurrent.futures.ThreadPoolExecutor(len(starts)) as pool:
        expected, got = pool.map(lambda start: run_on(start, client, script, folder), starts)
    if client.ends_well and "--- status 0" not in expected:
        return ["the script failed on etcd:", *expected.splitlines()]
    return list(difflib.unified_diff(expected.splitlines(), got.splitlines(), "etcd", "lockstepd", lineterm=""))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--client", choices=("etcdctl", "python", "node"), required=True)
    arguments.add_argument("--lockstepd", required=True)
    arguments.add_argument("--packages", help="where npm's packages are installed")
    arguments.add_argument("--only", default="")
    arguments.add_argument("--keep", action="store_true", help="leave the folders behind")
    options = arguments.parse_args()
    client = {"etcdctl": EtcdctlClient, "python": PythonClient, "node": lambda: NodeClient(options.packages)}[options.client]()
    servers.need("etcd", *client.tools)
    problem = client.prepare()
    if problem is not None:
        print(f"FAILED {options.client}-packages\n       {problem}\n0 passed, 1 failed")
        return 1
    program = str(pathlib.Path(options.lockstepd).resolve())
    passed = failed = 0
    for script in sorted((HERE / client.folder).glob(client.pattern)):
        if options.only not in script.stem:
            continue
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"lockstep-{script.stem}-"))
        difference = compare(client, script, program, folder)
        print(("ok     " if not difference else "FAILED ") + script.stem, flush=True)
        for line in difference:
            print("       " + line)
        passed, failed = passed + (not difference), failed + bool(difference)
        if not options.keep and not difference:
            shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
