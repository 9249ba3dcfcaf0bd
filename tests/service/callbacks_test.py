"""Timers that a real lockstepd sends to a small HTTP receiver, which is down at first, while the server is killed in
between: each is heard of at least once, never early, with tokens that grow. And history that compacts itself meanwhile.

usage: callbacks_test.py --lockstepd PROGRAM [--store own|etcd]

The last line is "N passed, N failed".
"""

import argparse
import collections
import http.client
import http.server
import json
import pathlib
import random
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))

import servers

OPTIONS = ["--callouts-allow-loopback", "true", "--auto-compaction-retention", "2s"]
Heard = collections.namedtuple("Heard", "at queue name token attempt body")
tally = collections.Counter()


def check(what, holds, seen=""):
    tally["passed" if holds else "failed"] += 1
    if not holds:
        print(f"FAILED {what}: {seen}", flush=True)


class Receiver:
    """Answers 204, or 410 below /gone, or 503 the first time below /later."""

    def __init__(self, port):
        self.heard, self.lock = collections.defaultdict(list), threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                at = time.monotonic()
                body = self.rfile.read(int(self.headers["Content-Length"]))
                said = [self.headers[f"Lockstep-Timer-{name}"] for name in ("Queue", "Name", "Token", "Attempt")]
                with outer.lock:
                    mine = outer.heard[said[1]]
                    mine.append(Heard(at, said[0], said[1], int(said[2]), int(said[3]), body))
                first_of_later = self.path == "/later" and len(mine) == 1
                self.send_response(410 if self.path == "/gone" else 503 if first_of_later else 204)
                if first_of_later:
                    self.send_header("Retry-After", "2")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def post(server, path, **body):
    connection = http.client.HTTPConnection(*server.endpoint.split(":"), timeout=60)
    try:
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def killed_and_started_again(server, folder):
    server.process.kill()
    server.process.wait()
    again = servers.Server(f"{server.name}-again", server.process.args, server.endpoint.split(":")[1], folder)
    return again.wait_until_it_serves()


def compacted(server):
    connection = http.client.HTTPConnection(*server.endpoint.split(":"), timeout=60)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    return max([int(line.split()[1]) for line in lines if line.startswith("lockstep_store_compacted_revision ")] or [0])


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def refused_targets(server):
    for target in ("ftp://a/", "a", "http://u:p@a/", "http://169.254.169.254/latest", "http://[fe80::1]/"):
        status, problem = post(server, "/v1/timers/set", queue="hooks", name="x", after_ms=1, target=target)
        check(f"{target} is refused", status == 400 and problem.get("pointer") == "/target", problem)


def firings(server, folder, seed):
    """Timers at random times within eight seconds; a receiver that comes late, a server that is killed."""
    random.seed(seed)
    port = servers.free_port()
    asked = {}
    for number in range(80):
        name, delay = f"order/{number}", random.uniform(0.1, 8)
        path = "gone" if number == 0 else "later" if number == 1 else "due"
        begun = time.monotonic()
        status, answer = post(server, "/v1/timers/set", queue="hooks", name=name, after_ms=int(delay * 1000),
                              payload=json.dumps({"order": number}), target=f"http://127.0.0.1:{port}/{path}",
                              attempts_max=100)
        check(f"{name} is set", status == 200, answer)
        asked[name] = begun + int(delay * 1000) / 1000
    status, answer = post(server, "/v1/timers/set", queue="hooks", name="none", after_ms=1)
    check("a queue is sent or claimed, not both", answer.get("code") == "timer_target_missing", answer)
    time.sleep(2)
    receiver = Receiver(port)
    time.sleep(1.5)
    server = killed_and_started_again(server, folder)
    everything = wait_for(lambda: len(receiver.heard) == len(asked) and len(receiver.heard["order/1"]) >= 2)
    check("each was heard of", everything, sorted(set(asked) - set(receiver.heard)))
    for name, due in asked.items():
        heard = receiver.heard[name]
        check(f"{name} was never early", all(one.at >= due for one in heard), (due, heard))
        tokens = [one.token for one in heard]
        check(f"{name}: tokens grow", tokens == sorted(set(tokens)), heard)
        check(f"{name}: its queue and payload", all(one.queue == "hooks" and json.loads(one.body) == {"order": int(name[6:])}
                                                    for one in heard), heard)
    later = receiver.heard["order/1"]
    check("who asks for time gets it", len(later) >= 2 and later[1].at - later[0].at >= 2, later)
    def left():
        shown = {name: get(server, "/v1/timers/show?queue=hooks&name=" + name.replace("/", "%2F")) for name in asked}
        return {name: body for name, (status, body) in shown.items() if status != 404}

    check("and all are over", wait_for(lambda: not left()), left())
    return server


def get(server, path):
    connection = http.client.HTTPConnection(*server.endpoint.split(":"), timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lockstepd", required=True)
    parser.add_argument("--store", choices=["own", "etcd"], default="own")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    running = []
    with tempfile.TemporaryDirectory(prefix="lockstep-callbacks-") as folder:
        try:
            if options.store == "own":
                server = servers.lockstepd(options.lockstepd, folder, *OPTIONS)
            else:
                servers.need("etcd")
                running.append(servers.etcd(folder))
                server = servers.lockstepd_on(options.lockstepd, folder, running[0], *OPTIONS[:2])
            running.append(server)
            refused_targets(server)
            running.append(firings(server, folder, options.seed))
            if options.store == "own":
                check("history is compacted by itself", wait_for(lambda: compacted(running[-1]) > 1), compacted(running[-1]))
        finally:
            for server in reversed(running):
                server.stop()
    print(f"{tally['passed']} passed, {tally['failed']} failed")
    return 1 if tally["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
