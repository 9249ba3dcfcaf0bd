"""Distributed transactions of lockstepd beside DTM's, in turn on one machine. Called by `./do bench tx`.

One load program submits transactions of two empty branches, waits for the end of each, and is the participants: a
transaction counts once both branches were called. DTM keeps its state in BoltDB, or in a Redis that syncs each write.
Prints each row as soon as it is measured, then a table. A figure that misses its target is marked, and is no failure:
benchmarks are not tests.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).parent.parent / "etcd"), str(pathlib.Path(__file__).parent.parent / "locks")]
import recovery

import cluster as clusters
import compare as tables
import peers

SAGA_RATE_LEAST = 3000
TCC_RATE_LEAST = 2000


class Peer:
    def __init__(self, kind, label, program):
        self.kind = kind
        self.label = label
        self.program = program
        self.is_lockstepd = kind == "lockstepd"
        self.options = []


class Dtm(peers.Servers):
    """DTM with its default store, BoltDB, or on a Redis of its own with appendfsync always."""

    def __init__(self, label, folder, program, on_redis):
        super().__init__(label, folder)
        self.program = program
        self.on_redis = on_redis

    def prepare(self):
        self.port, grpc, json_rpc, redis = clusters.free_ports(4)
        settings = {"HTTP_PORT": self.port, "GRPC_PORT": grpc, "JSON_RPC_PORT": json_rpc, "LOG_LEVEL": "fatal"}
        if self.on_redis:
            settings |= {"STORE_DRIVER": "redis", "STORE_HOST": "127.0.0.1", "STORE_PORT": redis}
            self.members.append(clusters.Member("redis", [
                "redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
                "--appendonly", "yes", "--appendfsync", "always"], f"127.0.0.1:{redis}", self.folder / "redis.log"))
        command = ["env", "-C", str(self.folder), *(f"{name}={value}" for name, value in settings.items()), self.program]
        self.members.append(clusters.Member("dtm", command, f"127.0.0.1:{self.port}", self.folder / "dtm.log"))

    def is_up(self):
        return peers.ask(self.port, b"GET /api/dtmsvr/newGid HTTP/1.0\r\n\r\n", b"200")

    def url(self):
        return f"http://127.0.0.1:{self.port}/api/dtmsvr/submit"


def dtm_saga(port):
    steps = [{"action": f"http://127.0.0.1:{port}/{name}", "compensate": f"http://127.0.0.1:{port}/{name}-back"} for name in "ab"]
    return {"gid": "{gid}", "trans_type": "saga", "wait_result": True, "steps": steps, "payloads": ["{}", "{}"]}


def own_saga(port):
    steps = [{"name": name, "action": f"http://127.0.0.1:{port}/{name}", "compensate": f"http://127.0.0.1:{port}/{name}-back",
              "payload": {}} for name in "ab"]
    return {"gid": "{gid}", "mode": "saga", "wait_ms": 30000, "steps": steps}


def own_tcc(port):
    branches = [{"id": name, "payload": {}, **{operation: f"http://127.0.0.1:{port}/{name}-{operation}"
                                               for operation in ("try", "confirm", "cancel")}} for name in "ab"]
    return {"gid": "{gid}", "mode": "tcc", "wait_ms": 30000, "branches": branches}


def load(options, url, make_body, calls, in_flight, servers):
    """The run's report, with the servers' processor time a transaction."""
    port, = clusters.free_ports(1)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as body:
        json.dump(make_body(port), body)
        body.flush()
        before = servers.processor_seconds()
        run = subprocess.run([options.tx_load, url, body.name, str(port), str(calls), str(in_flight), str(options.seconds)],
                             capture_output=True, text=True, timeout=options.seconds + 60)
        spent = servers.processor_seconds() - before
    if run.returncode != 0:
        raise RuntimeError(f"tx-load: {run.stderr.strip()}")
    report = json.loads(run.stdout)
    report["seconds"] = options.seconds
    report["in_flight"] = in_flight
    report["server_cpu_us"] = spent * 1e6 / max(1.0, report["completed_per_second"] * (options.seconds + 1))
    return report


def best(options, label, what, url, make_body, calls, servers):
    """Coordinators like different loads: each is shown at the one it likes most."""
    reports = [load(options, url, make_body, calls, in_flight, servers) for in_flight in options.in_flight]
    report = max(reports, key=lambda one: one["completed_per_second"])
    client = report["client"]
    tables.say(f"  {label:16} {what:32} {report['completed_per_second']:>8.0f}/s at {report['in_flight']:>3} in flight  "
               f"p50 {client['p50_us'] / 1000:>6.1f} ms  p99 {client['p99_us'] / 1000:>6.1f} ms  {report['server_cpu_us']:6.0f} us CPU  "
               f"failures {client['failures']}, calls again {report['repeated_calls']}")
    return report


def own_cluster(options, members, folder):
    peer = Peer("lockstepd", "lockstepd", options.lockstepd)
    servers = clusters.Cluster(peer, members, folder, options.lockstep)
    for member in servers.members:
        member.command += ["--callouts-allow-loopback=true"]
    return servers


def own_urls(servers):
    return ",".join(f"http://{member.endpoint}/v1/transactions" for member in servers.members)


def wants(name, options):
    return not options.only or any(part in name for part in options.only)


def measure(options, folder):
    found = {}
    if options.dtm and wants("dtm", options):
        for label, on_redis in (("DTM, BoltDB", False), ("DTM, Redis", True)):
            with Dtm(label, folder, options.dtm, on_redis) as servers:
                found[label] = best(options, label, "sagas", servers.url(), dtm_saga, 2, servers)
    for members in (1, 3):
        if wants(f"saga-{members}", options):
            with own_cluster(options, members, folder) as servers:
                found[f"saga-{members}"] = best(options, "lockstepd", f"sagas, {members} member(s)", own_urls(servers), own_saga, 2, servers)
    if wants("tcc", options):
        with own_cluster(options, 1, folder) as servers:
            # Two tries and two confirms make one.
            found["tcc"] = best(options, "lockstepd", "tcc, 1 member", own_urls(servers), own_tcc, 4, servers)
    return found


def verdict(is_met):
    return "met" if is_met else "MISSED"


def show(found):
    rate = lambda name: found[name]["completed_per_second"] if name in found else None
    own, three, tcc = rate("saga-1"), rate("saga-3"), rate("tcc")
    if own is not None:
        print(f"empty sagas, 1 member: {own:,.0f}/s (aim {SAGA_RATE_LEAST:,}: {verdict(own >= SAGA_RATE_LEAST)})")
        for label, least in (("DTM, BoltDB", 5), ("DTM, Redis", 1.5)):
            if rate(label):
                ratio = own / rate(label)
                print(f"  beside {label}, {rate(label):,.0f}/s: {ratio:.1f} x (aim {least}: {verdict(ratio >= least)})")
    if own and three is not None:
        print(f"empty sagas, 3 members: {three:,.0f}/s, {three / own:.2f} of one member (aim 0.5: {verdict(three >= 0.5 * own)})")
    if tcc is not None:
        print(f"empty tcc, 1 member: {tcc:,.0f}/s (aim {TCC_RATE_LEAST:,}: {verdict(tcc >= TCC_RATE_LEAST)})")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="./do bench tx")
    parser.add_argument("--lockstepd", required=True, help="the server")
    parser.add_argument("--lockstep", required=True, help="its client")
    parser.add_argument("--tx-load", required=True, help="the load program")
    parser.add_argument("--tx-recovery", required=True, help="the load program of --recovery")
    parser.add_argument("--recovery", type=int, metavar="COUNT", help="only this: so many unfinished transactions after kill -9")
    parser.add_argument("--dtm", help="the peer; without it DTM is left out")
    parser.add_argument("--only", action="append", default=[], help="rows whose name contains this; again for more")
    parser.add_argument("--seconds", type=int, default=5, help="a run (default 5)")
    parser.add_argument("--in-flight", type=int, action="append", help="transactions; again for more (default 16, 64, 256)")
    parser.add_argument("--folder", help="where the servers' data lie; a real disk (default: a temporary folder)")
    parser.add_argument("--json", help="write everything measured to this file as well")
    options = parser.parse_args()
    options.in_flight = options.in_flight or [16, 64, 256]
    return options


def main():
    options = parse()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        folder = pathlib.Path(folder).resolve() / "servers"
        if options.recovery:
            return recovery.measure(options, folder, own_cluster)
        found = measure(options, folder)
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, kernel {platform.release()}; {options.seconds} s a run; "
          "CPU is of all servers together; load and participants are one process on the same machine")
    show(found)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
