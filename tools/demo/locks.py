"""Why a lock needs a fencing token: the same two mishaps with a real Redis and with Lockstep.

1. The holder is paused (SIGSTOP: a long collection of garbage, a suspended machine) until its lock has expired and another
holds it; then it wakes and finishes what it was about to do. Two clients each add 10 to an account that holds 100, under the
lock. Whoever guards the account must be able to tell the late one: a value set by SET NX says nothing, a token does.

2. The server that granted the lock dies before its replica heard of it, and the replica takes over.

The clients are processes of their own (`locks.py client …`), the account is a small server in this one.
"""

import argparse
import http.server
import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

from cluster import fail, free_ports, say

TTL_MS = 1000
LOCK = "demo/account"
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"


# ---- the guarded thing: two accounts, one that looks at tokens


class Account:
    def __init__(self):
        self.balance, self.highest_token, self.refused = 100, 0, []
        self.guard = threading.Lock()

    def write(self, who, balance, token):
        """A token of None is not looked at."""
        with self.guard:
            if token is not None:
                if token < self.highest_token:
                    self.refused.append(who)
                    return False
                self.highest_token = token
            self.balance = balance
            return True


class AccountServer:
    def __init__(self):
        self.account = Account()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                account = outer.account
                taken = "balance" not in asked or account.write(asked["who"], asked["balance"], asked["token"])
                self.send_response(200 if taken else 409)
                self.end_headers()
                self.wfile.write(json.dumps({"balance": account.balance}).encode())

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def post(port, path, body, timeout_s=30):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status, json.loads(answer.read() or b"{}")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


# ---- a client: takes the lock, reads, waits for a word, writes


class RedisConnection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.stream = self.socket.makefile("rb")

    def ask(self, *words):
        encoded = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in encoded))
        line = self.stream.readline().rstrip()
        if line[:1] != b"$":
            return line[1:].decode()
        length = int(line[1:])
        return None if length < 0 else self.stream.read(length + 2)[:-2].decode()


class RedisLock:
    def __init__(self, port, who):
        self.connection, self.who = RedisConnection(port), who

    def acquire(self, wait_s):
        deadline = time.monotonic() + wait_s
        while self.connection.ask("SET", LOCK, self.who, "NX", "PX", TTL_MS) != "OK":
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True

    token = None  # Redis has none to give

    def release(self):
        self.connection.ask("EVAL", RELEASE, 1, LOCK, self.who)


class LockstepLock:
    def __init__(self, port, who):
        self.port, self.who, self.token = port, who, None

    def acquire(self, wait_s):
        status, self.held = post(self.port, "/v1/locks/acquire", {
            "name": LOCK, "ttl_ms": TTL_MS, "wait_ms": int(wait_s * 1000), "holder": self.who})
        if status == 200:
            self.token = int(self.held["token"])
        return status == 200

    def release(self):
        post(self.port, "/v1/locks/release", {"name": LOCK, "session": self.held["session"], "token": self.token})


def client(arguments):
    lock = (RedisLock if arguments.kind == "redis" else LockstepLock)(arguments.port, arguments.who)
    if not lock.acquire(arguments.wait):
        print("refused", flush=True)
        return
    _, account = post(arguments.account, "/", {"who": arguments.who})
    print(f"holds {lock.token} {account['balance']}", flush=True)
    sys.stdin.readline()
    status, _ = post(arguments.account, "/", {"who": arguments.who, "balance": account["balance"] + 10, "token": lock.token})
    lock.release()
    print("written" if status == 200 else "stale", flush=True)


class Client:
    def __init__(self, kind, port, who, account, wait_s=0):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "client", "--kind", kind, "--port", str(port), "--who", who, "--account",
             str(account.port), "--wait", str(wait_s)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hears(self):
        return self.process.stdout.readline().split()

    def finish(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.hears()

    def end(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()


# ---- 1: the paused holder


def paused_holder(kind, port):
    """(the balance at the end, whose write was refused)"""
    account = AccountServer()
    first = Client(kind, port, "A", account)
    held = first.hears()
    if held[:1] != ["holds"]:
        fail(f"the first client got no lock from {kind}: {held}")
    first.process.send_signal(signal.SIGSTOP)
    second = Client(kind, port, "B", account, wait_s=10)
    held_by_second = second.hears()
    if held_by_second[:1] != ["holds"]:
        fail(f"the second client got no lock from {kind} after the first was gone: {held_by_second}")
    second.finish()
    first.process.send_signal(signal.SIGCONT)
    outcome = first.finish()
    for one in (first, second):
        one.end()
    token = lambda words: "" if words[1] == "None" else f" with token {words[1]}"
    say(f"    A locks{token(held)}, reads {held[2]}, is paused; its lock expires; B locks{token(held_by_second)}, reads "
        f"{held_by_second[2]}, writes {int(held_by_second[2]) + 10}")
    late = f"A wakes and writes {int(held[2]) + 10}"
    if outcome == ["stale"]:
        # What a client does that was told so: all over again.
        say(f"    {late}: REFUSED, its token is older than one that the account has seen. A starts over")
        again = Client(kind, port, "A", account, wait_s=10)
        again.hears()
        again.finish()
        again.end()
    else:
        say(f"    {late} over it")
    return account.account.balance


# ---- 2: the lock's server dies


class Wire:
    """A way to a port that can be held: what is sent then arrives later, or never."""

    def __init__(self, port):
        self.port, self.held = port, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.entrance = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(("127.0.0.1", self.port))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source, sink):
        try:
            while data := source.recv(65536):
                while self.held.is_set():
                    time.sleep(0.01)
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()


class Redis:
    """A real one and its replica."""

    def __init__(self, folder):
        self.ports = free_ports(2)
        self.processes = [self.start(folder, port) for port in self.ports]
        for port in self.ports:
            self.wait_for(lambda port=port: RedisConnection(port).ask("PING") == "PONG")
        self.wire = Wire(self.ports[0])
        RedisConnection(self.ports[1]).ask("REPLICAOF", "127.0.0.1", self.wire.entrance)
        self.wait_for(lambda: "master_link_status:up" in (RedisConnection(self.ports[1]).ask("INFO", "replication") or ""))

    @staticmethod
    def start(folder, port):
        data = folder / f"redis-{port}"
        data.mkdir()
        return subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", data, "--save", "",
                                 "--appendonly", "yes", "--appendfsync", "always", "--repl-diskless-sync-delay", "0"],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @staticmethod
    def wait_for(ready):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if ready():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        fail("Redis is not ready within 30 s")

    def fail_over(self):
        """The primary dies; the replica takes over with what it has heard."""
        self.processes[0].kill()
        self.processes[0].wait()
        RedisConnection(self.ports[1]).ask("REPLICAOF", "NO", "ONE")

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


def lost_server_redis(folder):
    """True if two clients held the lock at once."""
    redis = Redis(folder)
    account = AccountServer()
    # A moment's delay on the way to the replica is all it takes: the primary does not wait for it.
    redis.wire.held.set()
    first = Client("redis", redis.ports[0], "A", account)
    held = first.hears()
    redis.fail_over()
    second = Client("redis", redis.ports[1], "B", account)
    also_held = second.hears()
    for one in (first, second):
        one.end()
    redis.end()
    both = held[:1] == also_held[:1] == ["holds"]
    say("    A locks at the primary, which answers OK and dies; its replica takes over; B asks there: "
        + ("GRANTED, while A holds it too" if both else "refused"))
    return both


def lost_server_lockstep(cluster):
    account = AccountServer()
    leader = cluster.wait_for_leader()
    first = Client("lockstep", leader.client_port, "A", account)
    held = first.hears()
    cluster.kill(leader)
    successor = cluster.wait_for_leader()
    second = Client("lockstep", successor.client_port, "B", account)
    also_held = second.hears()
    for one in (first, second):
        one.end()
    cluster.start(leader)
    cluster.wait_until_ready([leader])
    both = held[:1] == also_held[:1] == ["holds"]
    say(f"    A locks at {leader.name}, the leader, which answers and is killed; {successor.name} takes over; B asks there: "
        + ("GRANTED, while A holds it too" if both else "refused, A holds it"))
    return both


def run(cluster, folder):
    """True if Lockstep's locks did what locks are for."""
    if shutil.which("redis-server") is None:
        fail("redis-server is not there: ./do setup installs it")
    say(f"\nTwo clients, each adding 10 to an account of 100 under a lock that expires after {TTL_MS / 1000:g} s")
    scratch = pathlib.Path(folder) / "locks"
    scratch.mkdir()
    say("  The holder is paused, with Redis (SET NX PX)")
    redis = Redis(scratch)
    redis_balance = paused_holder("redis", redis.ports[0])
    redis.end()
    say("  The holder is paused, with Lockstep")
    lockstep_balance = paused_holder("lockstep", cluster.wait_for_leader().client_port)
    say("  The server that granted the lock dies, with Redis and a replica")
    redis_both = lost_server_redis(scratch)
    say("  The server that granted the lock dies, with three members of Lockstep")
    time.sleep(TTL_MS / 1000 + 0.5)
    lockstep_both = lost_server_lockstep(cluster)
    say(f"  {'':34}{'Redis':>8}{'Lockstep':>10}")
    say(f"  {'the account, which should hold 120':34}{redis_balance:>8}{lockstep_balance:>10}")
    say(f"  {'two holders at once':34}{'yes' if redis_both else 'no':>8}{'yes' if lockstep_both else 'no':>10}")
    return lockstep_balance == 120 and not lockstep_both


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A client of the experiment.")
    parser.add_argument("what", choices=["client"])
    parser.add_argument("--kind", choices=["redis", "lockstep"], required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--who", required=True)
    parser.add_argument("--account", type=int, required=True)
    parser.add_argument("--wait", type=float, default=0)
    client(parser.parse_args())
