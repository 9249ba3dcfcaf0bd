"""The same scripts of a real client against etcd and against lockstepd; what they print must be the same.

usage: compare.py --lockstepd PROGRAM [--only NAME] [--keep]

Each file in etcdctl/ is a bash script. It sees ETCDCTL_ENDPOINTS and runs in an empty folder; standard output and error are
kept together. What may differ is listed below in `normalised`: identities, addresses, versions and sizes, nothing else.
The last line is "N passed, N failed".
"""

import argparse
import difflib
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One member of its own in a folder of its own, for one script."""

    def __init__(self, name, command, client_port, folder):
        self.name = name
        self.endpoint = f"127.0.0.1:{client_port}"
        self.log = open(folder / f"{name}.log", "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, cwd=folder)
        self.wait_until_it_serves()

    def wait_until_it_serves(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                sys.exit(f"{self.name} ended with {self.process.returncode}: see its log in {self.log.name}")
            # Nothing is written: both must begin at the same revision.
            answer = subprocess.run(["etcdctl", "get", "probe"], env=environment(self),
                                    capture_output=True)
            if answer.returncode == 0:
                return
            time.sleep(0.05)
        sys.exit(f"{self.name} does not serve within 60 s: see {self.log.name}")

    def stop(self):
        self.process.terminate()
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = "no end within 20 s of SIGTERM"
        self.log.close()
        return status


def environment(server):
    return {**os.environ, "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": server.endpoint, "ETCDCTL_DIAL_TIMEOUT": "5s"}


def start_etcd(folder):
    client, peer = free_port(), free_port()
    urls = f"http://127.0.0.1:{client}"
    return Server("etcd", ["etcd", "--name", "default", "--data-dir", str(folder / "etcd"), "--listen-client-urls", urls,
                           "--advertise-client-urls", urls, "--listen-peer-urls", f"http://127.0.0.1:{peer}",
                           "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
                           "--initial-cluster", f"default=http://127.0.0.1:{peer}", "--log-level", "error"], client, folder)


def start_lockstepd(program, folder):
    client, peer = free_port(), free_port()
    return Server("lockstepd", [program, "--data-dir", str(folder / "lockstep"), "--listen", f"127.0.0.1:{client}",
                                "--peer-listen", f"127.0.0.1:{peer}"], client, folder)


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


def run_script(script, server, folder):
    work = folder / f"work-{server.name}"
    work.mkdir()
    done = subprocess.run(["bash", str(script)], env=environment(server), cwd=work, capture_output=True, timeout=120,
                          text=True, errors="replace")
    return normalised(done.stdout + "--- standard error\n" + done.stderr + f"--- status {done.returncode}\n")


def compare(script, program, folder):
    outputs = []
    for start in (start_etcd, lambda where: start_lockstepd(program, where)):
        server = start(folder)
        try:
            outputs.append(run_script(script, server, folder))
        finally:
            status = server.stop()
        if server.name == "lockstepd" and status != 0:
            outputs[-1] += f"--- lockstepd ended with {status}\n" + (folder / "lockstepd.log").read_text(errors="replace")
    expected, got = outputs
    return list(difflib.unified_diff(expected.splitlines(), got.splitlines(), "etcd", "lockstepd", lineterm=""))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    arguments.add_argument("--only", default="")
    arguments.add_argument("--keep", action="store_true", help="leave the folders behind")
    options = arguments.parse_args()
    for tool in ("etcd", "etcdctl"):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing: ./do setup installs it")
    program = str(pathlib.Path(options.lockstepd).resolve())
    passed = failed = 0
    for script in sorted((HERE / "etcdctl").glob("*.sh")):
        if options.only not in script.stem:
            continue
        folder = pathlib.Path(tempfile.mkdtemp(prefix=f"lockstep-{script.stem}-"))
        difference = compare(script, program, folder)
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
