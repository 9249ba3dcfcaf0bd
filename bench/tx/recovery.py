"""How soon all unfinished transactions go on after kill -9 of the only member. Called by `./do bench tx --recovery COUNT`.

Two kinds of unfinished ones, in turn:
  resting   their participants asked to be called again in an hour: they go on once the coordinator knows of them and has
            armed their time, which is when its figure of unfinished ones is complete
  due       their participants never answered: all are to be called at once, and go on when they are called again, which
            the participants count, each transaction once
"""

import json
import subprocess
import tempfile
import threading
import time
import urllib.request

import cluster as clusters
import compare as tables

AIM_S = 3.0
IN_FLIGHT = 128
PATIENCE_S = 120


class Load:
    def __init__(self, options, endpoint, kind):
        self.port, = clusters.free_ports(1)
        self.body = tempfile.NamedTemporaryFile("w", suffix=".json")
        url = f"http://127.0.0.1:{self.port}"
        steps = [{"name": name, "action": f"{url}/{name}", "compensate": f"{url}/{name}-back", "payload": {}} for name in "ab"]
        json.dump({"gid": "{gid}", "mode": "saga", "retry": {"timeout": "60s"}, "steps": steps}, self.body)
        self.body.flush()
        self.process = subprocess.Popen(
            [options.tx_recovery, f"http://{endpoint}/v1/transactions", self.body.name, str(self.port), str(options.recovery),
             str(IN_FLIGHT), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"tx-recovery ended with {self.process.wait()}")
        return json.loads(line)

    def close(self):
        self.process.kill()
        self.process.wait()
        self.body.close()


def metric(endpoint, name):
    with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
    return 0.0


def wait_until(what, holds, pause_s=0.01):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if holds():
                return time.monotonic()
        except OSError:
            pass
        time.sleep(pause_s)
    raise RuntimeError(f"{what}: not within {PATIENCE_S} s")


def is_healthy(endpoint):
    with urllib.request.urlopen(f"http://{endpoint}/health", timeout=5) as answer:
        return b'"true"' in answer.read()


class Started:
    """The member as it comes back: when it began, when it served, when it knew of all."""

    def __init__(self, member, count):
        self.began = time.monotonic()
        member.start()
        self.serves = wait_until("it serves", lambda: is_healthy(member.endpoint))
        self.known = None
        self.watching = threading.Thread(target=self.watch, args=(member.endpoint, count))
        self.watching.start()

    def watch(self, endpoint, count):
        try:
            self.known = wait_until("all are known", lambda: metric(endpoint, "lockstep_transactions_unfinished") >= count, 0.02)
        except RuntimeError as error:
            tables.say(f"  {error}")


def one(options, folder, own_cluster, kind):
    """Seconds from the start of the process, by what happened; those of the participants where they are called."""
    count = options.recovery
    with own_cluster(options, 1, folder) as servers:
        member = servers.members[0]
        load = Load(options, member.endpoint, kind)
        try:
            told = load.ask("submitted")
            tables.say(f"  {count:,} submitted in {told['seconds']:.1f} s")
            if kind == "later":
                wait_until("all are called", lambda: load.ask("report")["called"] == count, 0.2)
                time.sleep(2)  # when they are due is written once a second
            member.kill()
            load.ask("forget")
            started = Started(member, count)
            found = {"serves": started.serves - started.began}
            if kind == "silent":
                wait_until("all are called again", lambda: load.ask("report")["called"] == count, 0.1)
                calls = load.ask("report")
                found |= {name: calls["at"][name] - started.began for name in ("first", "half", "all")}
                found["calls"] = calls["calls"]
                found["server_cpu"] = servers.processor_seconds()  # of the process that came back
            started.watching.join()
            found["known"] = started.known - started.began if started.known else None
            return found
        finally:
            load.close()


def measure(options, folder, own_cluster):
    for kind, label in (("later", "resting, due in an hour"), ("silent", "all due at once")):
        tables.say(f"{options.recovery:,} unfinished sagas, {label}; kill -9; seconds from the start of the process:")
        found = one(options, folder, own_cluster, kind)
        moving = found["known"]
        tables.say(f"  serves {found['serves']:.2f}, all known and their times armed {moving:.2f}, "
                   f"{moving - found['serves']:.2f} after it served (aim {AIM_S}: {'met' if moving - found['serves'] <= AIM_S else 'MISSED'})")
        if kind == "silent":
            tables.say(f"  called again: the first {found['first']:.2f}, half of them {found['half']:.2f}, all {found['all']:.2f}, in {found['calls']:,} calls; "
                       f"the server's CPU until then {found['server_cpu']:.2f} s")
