"""Three members of a real cluster; the leader is killed under load, again and again; every acknowledged write is accounted for.

usage: demo.py --programs FOLDER [--kills N] [--writers N] [--stay] [--keep]

The members are processes of lockstepd on free ports of 127.0.0.1, with their data in a temporary folder. etcdctl shows that they
are what etcd's clients expect, `lockstep bench put` is the load, and writers of our own keep the account: each writes
numbered keys, one after the other, through the JSON gateway of any member, and notes what was acknowledged. A write whose outcome is
not known is repeated, as "put it unless it is there". At the end every acknowledged key is read at every member.

Exit status 0 if nothing was lost, wrong, or written twice, and the cluster is healthy again.
"""

import argparse
import atexit
import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PREFIX = "account/"


def say(text=""):
    print(text, flush=True)


def fail(text):
    sys.exit(f"demo: {text}")


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]  # all held until the last is found, so that they differ
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def decoded(text):
    return base64.b64decode(text).decode()


class Member:
    def __init__(self, name, client_port, peer_port):
        self.name, self.client_port, self.peer_port = name, client_port, peer_port
        self.endpoint = f"127.0.0.1:{client_port}"
        self.process = None
        self.log = None


class Cluster:
    def __init__(self, programs, folder):
        self.programs, self.folder = programs, folder
        ports = free_ports(6)
        self.members = [Member(f"n{i + 1}", ports[2 * i], ports[2 * i + 1]) for i in range(3)]
        self.endpoints = ",".join(member.endpoint for member in self.members)
        atexit.register(self.end)

    def start(self, member):
        peers = ",".join(f"{other.name}=127.0.0.1:{other.peer_port}" for other in self.members)
        member.log = open(self.folder / f"{member.name}.log", "ab")
        member.process = subprocess.Popen(
            [self.programs / "lockstepd", "--name", member.name, "--data-dir", self.folder / member.name, "--listen",
             member.endpoint, "--initial-cluster", peers, "--cluster-token", f"demo-{os.getpid()}"],
            stdout=member.log, stderr=subprocess.STDOUT, start_new_session=True)

    def kill(self, member):
        member.process.kill()  # SIGKILL: no hand-over, no last words
        member.process.wait()
        member.log.close()

    def end(self):
        for member in self.members:
            if member.process is not None and member.process.poll() is None:
                self.kill(member)

    def check(self):
        for member in self.members:
            if member.process.poll() is not None:
                fail(f"{member.name} ended by itself: see {self.folder / (member.name + '.log')}")

    def get(self, member, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=2)
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            return text if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None

    def wait_until_ready(self, members, within_s=30):
        deadline = time.monotonic() + within_s
        for member in members:
            while self.get(member, "/readyz") is None:
                if time.monotonic() > deadline:
                    fail(f"{member.name} is not ready within {within_s} s: see {self.folder / (member.name + '.log')}")
                time.sleep(0.01)

    def leader(self):
        """The member that leads, or None while nobody says so."""
        for member in self.members:
            text = self.get(member, "/metrics") if member.process.poll() is None else None
            if text is not None and "\netcd_server_is_leader 1\n" in text:
                return member
        return None

    def wait_for_leader(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            leader = self.leader()
            if leader is not None:
                return leader
            time.sleep(0.01)
        return fail("nobody leads within 30 s")

    def etcdctl(self, *words):
        done = subprocess.run(["etcdctl", "--endpoints", self.endpoints, *words], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "ETCDCTL_API": "3"})
        if done.returncode != 0:
            fail(f"etcdctl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.rstrip()


class Writer(threading.Thread):
    """Writes key after key. Keeps what was acknowledged, and when."""

    def __init__(self, cluster, number):
        super().__init__(daemon=True)
        self.cluster, self.number = cluster, number
        self.acknowledged = []  # (time, key)
        self.repeated = 0
        self.stopping = False
        self.at = number % len(cluster.members)
        self.connection = None

    def run(self):
        count = 0
        while not self.stopping:
            count += 1
            key = f"{PREFIX}{self.number:02}/{count:07}"
            attempts = 0
            while not self.write(key) and not self.stopping:
                attempts += 1
                self.at = (self.at + 1) % len(self.cluster.members)
                time.sleep(0.002)
            self.repeated += attempts > 0

    def write(self, key):
        body = {"compare": [{"key": encoded(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                "success": [{"request_put": {"key": encoded(key), "value": encoded("the value of " + key)}}]}
        try:
            if self.connection is None:
                port = self.cluster.members[self.at].client_port
                self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            self.connection.request("POST", "/v3/kv/txn", json.dumps(body), {"Content-Type": "application/json"})
            answer = self.connection.getresponse()
            answer.read()
            if answer.status == 200:
                self.acknowledged.append((time.monotonic(), key))
                return True
        except (OSError, http.client.HTTPException):
            pass
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        return False


def longest_gap_ms(writers, begin, end):
    times = sorted(at for writer in writers for at, _ in list(writer.acknowledged) if begin - 1 <= at <= end)
    gaps = [later - at for at, later in zip(times, times[1:]) if later >= begin]
    return 1000 * max(gaps, default=end - begin)


def kill_the_leader(cluster, writers, number, kills):
    leader = cluster.wait_for_leader()
    killed_at = time.monotonic()
    cluster.kill(leader)
    while not any(writer.acknowledged and writer.acknowledged[-1][0] > killed_at + 0.05 for writer in writers):
        if time.monotonic() > killed_at + 30:
            fail("nothing was written for 30 s after the leader was killed")
        time.sleep(0.002)
    time.sleep(0.8)
    gap_ms = longest_gap_ms(writers, killed_at, time.monotonic())
    cluster.start(leader)
    cluster.wait_until_ready([leader])
    successor = cluster.wait_for_leader()
    total = sum(len(writer.acknowledged) for writer in writers)
    say(f"  {number} of {kills}   kill -9 of {leader.name}, the leader   writes stood still for {gap_ms:4.0f} ms   "
        f"{successor.name} leads, {leader.name} is back   {total} acknowledged so far")
    time.sleep(0.7)
    cluster.check()
    return gap_ms


def read_all(cluster, member):
    """Every key of the account at this member: key -> (value, version)."""
    found = {}
    connection = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=30)
    begin, end = PREFIX, PREFIX[:-1] + chr(ord(PREFIX[-1]) + 1)
    while True:
        body = json.dumps({"key": encoded(begin), "range_end": encoded(end), "limit": "5000"})
        connection.request("POST", "/v3/kv/range", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        rows = answer.get("kvs", [])
        for row in rows:
            found[decoded(row["key"])] = (decoded(row.get("value", "")), int(row["version"]))
        if not answer.get("more"):
            return found
        begin = decoded(rows[-1]["key"]) + "\0"


def print_account(cluster, writers, gaps):
    acknowledged = [key for writer in writers for _, key in writer.acknowledged]
    lost = wrong = twice = 0
    for member in cluster.members:
        found = read_all(cluster, member)
        lost += sum(key not in found for key in acknowledged)
        wrong += sum(value != "the value of " + key for key, (value, _) in found.items())
        twice += sum(version != 1 for _, version in found.values())
    say("\nThe account, read back at each of the three members")
    say(f"  acknowledged writes          {len(acknowledged):>9}")
    say(f"  of these sent more than once {sum(writer.repeated for writer in writers):>9}   (outcome unknown, or refused meanwhile)")
    say(f"  lost                         {lost:>9}")
    say(f"  wrong                        {wrong:>9}")
    say(f"  written twice                {twice:>9}")
    if gaps:
        say(f"  gap in writes, ms            {statistics.median(gaps):>9.0f}   median of {len(gaps)} kills; longest {max(gaps):.0f}")
    return lost == wrong == twice == 0 and len(acknowledged) > 0


def print_bench(bench):
    try:
        out, _ = bench.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        bench.kill()
        return
    try:
        report = json.loads(out)
    except ValueError:
        return
    say(f"  beside it, `lockstep bench put` {report.get('requests', 0):>6}   {report.get('requests_per_second', 0):.0f} a second, "
        f"kills included; {report.get('failures', 0)} calls failed while nobody led")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="where lockstepd and lockstep lie")
    parser.add_argument("--kills", type=int, default=5, help="how often the leader is killed [5]")
    parser.add_argument("--writers", type=int, default=8, help="writers that keep the account [8]")
    parser.add_argument("--stay", action="store_true", help="leave the cluster running until Ctrl-C")
    parser.add_argument("--keep", action="store_true", help="leave data and logs behind, and say where")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lockstep-demo-"))
    if not arguments.keep:
        atexit.register(shutil.rmtree, folder, True)  # runs after the members were ended: they registered later
    os.environ["LOCKSTEP_CLIENT_CONFIG"] = os.devnull
    cluster = Cluster(arguments.programs, folder)
    say("Three members of lockstepd: " + ", ".join(f"{member.name} on {member.endpoint}" for member in cluster.members))
    for member in cluster.members:
        cluster.start(member)
    cluster.wait_until_ready(cluster.members)
    cluster.etcdctl("put", "greeting", "hello")
    say(f"  etcdctl put greeting hello; etcdctl get greeting: {cluster.etcdctl('get', 'greeting', '--print-value-only')}")
    say("\n" + cluster.etcdctl("endpoint", "status", "-w", "table"))
    say(f"\n{arguments.writers} writers and `lockstep bench put` at work; every write of the writers that is acknowledged goes into the "
        "account.")
    bench = subprocess.Popen(
        [arguments.programs / "lockstep", "--endpoints", cluster.endpoints, "bench", "put", "--connections", "3", "--in-flight",
         "16", "--duration", f"{2 * arguments.kills + 1}s", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    atexit.register(bench.kill)
    writers = [Writer(cluster, number) for number in range(arguments.writers)]
    for writer in writers:
        writer.start()
    time.sleep(1)
    gaps = [kill_the_leader(cluster, writers, number + 1, arguments.kills) for number in range(arguments.kills)]
    for writer in writers:
        writer.stopping = True
    for writer in writers:
        writer.join(30)
    good = print_account(cluster, writers, gaps)
    print_bench(bench)
    cluster.wait_until_ready(cluster.members)
    say("\n" + cluster.etcdctl("endpoint", "status", "-w", "table"))
    healthy = cluster.etcdctl("endpoint", "health")
    good = good and cluster.etcdctl("get", "greeting", "--print-value-only") == "hello"
    say("\n" + ("Every acknowledged write is there, once, and the cluster is healthy again."
                if good else "The account is NOT clean.") + ("" if healthy == "" else "\n" + healthy))
    if arguments.stay:
        say(f"\nThe cluster stays: etcdctl --endpoints {cluster.endpoints} … Ctrl-C ends it.")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        try:
            signal.pause()
        except KeyboardInterrupt:
            pass
    say("\nNext: `./do demo -- --stay` leaves the cluster running, `./do run` starts one member on 127.0.0.1:2379,\n"
        "`./do sim --seeds 100` breaks clocks, disks and networks from a seed, README.md has clusters with TLS.")
    if arguments.keep:
        say(f"Data and logs are in {folder}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
