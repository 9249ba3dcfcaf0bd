"""Writers that keep an account while the leader is killed under load, again and again.

Each writes numbered keys, one after the other, through the JSON gateway of any member, and notes what was acknowledged.
A write whose outcome is not known is repeated, as "put it unless it is there". At the end every acknowledged key is read
at every member.
"""

import atexit
import base64
import http.client
import json
import statistics
import subprocess
import threading
import time

from cluster import fail, say

PREFIX = "account/"


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def decoded(text):
    return base64.b64decode(text).decode()


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


def run(cluster, programs, kills, writer_count):
    """True if nothing was lost, wrong, or written twice."""
    say(f"\n{writer_count} writers and `lockstep bench put` at work; every write of the writers that is acknowledged goes into the "
        "account.")
    bench = subprocess.Popen(
        [programs / "lockstep", "--endpoints", cluster.endpoints, "bench", "put", "--connections", "3", "--in-flight", "16",
         "--duration", f"{2 * kills + 1}s", "-o", "json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    atexit.register(bench.kill)
    writers = [Writer(cluster, number) for number in range(writer_count)]
    for writer in writers:
        writer.start()
    time.sleep(1)
    gaps = [kill_the_leader(cluster, writers, number + 1, kills) for number in range(kills)]
    for writer in writers:
        writer.stopping = True
    for writer in writers:
        writer.join(30)
    good = print_account(cluster, writers, gaps)
    print_bench(bench)
    return good
