"""Locks of lockstepd beside etcd's, Redis's and ZooKeeper's, in turn on one machine. Called by `./do bench locks`.

lockstepd and etcd are driven by the same load client through etcd's lock service; Redis by SET NX PX and the usual
unlocking script over hiredis, with appendfsync always; ZooKeeper by its ephemeral, sequential nodes over its own C
client. Prints each row as soon as it is measured, then a table. A figure that misses its target is marked, and is no
failure: benchmarks are not tests.
"""

import argparse
import json
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parent.parent / "etcd")]
import cluster as clusters
import compare as tables
import peers

ROWS = [
    # name, what, members, in flight, locks (0: one each), least ratio to each peer
    ("own", "own lock each, 64 in flight, 1 member", 1, 64, 0, {"etcd": 6, "zookeeper": 5, "redis": 0.7}),
    ("own-3", "own lock each, 64 in flight, 3 members", 3, 64, 0, {"etcd": 6, "zookeeper": 6}),
    ("contended-3", "one lock, 32 contenders, 3 members", 3, 32, 1, {"etcd": 5, "zookeeper": 2.5}),
]
# Connections of the load client: as many calls on each as contend.
CONNECTIONS = {1: 1, 3: 3}


class Peer:
    def __init__(self, kind, label, program=None):
        self.kind = kind
        self.label = label
        self.program = program
        self.is_lockstepd = kind == "lockstepd"
        self.options = []


def run_json(command):
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {run.stderr.strip()}")
    return json.loads(run.stdout)


def measure_row(peer, row, options, folder):
    """The run's report, or None where the peer has no such row."""
    _, what, members, in_flight, locks, _ = row
    seconds = str(options.seconds)
    if peer.kind == "redis":
        if members != 1 or locks != 0:
            return None
        servers = peers.Redis(peer.label, folder)
        command = lambda: [options.redis_client, str(servers.port), str(in_flight), seconds]
    elif peer.kind == "zookeeper":
        servers = peers.ZooKeeper(peer.label, folder, members)
        command = lambda: [options.zookeeper_client, servers.endpoints(), "10", str(in_flight), str(locks), seconds]
    else:
        servers = clusters.Cluster(peer, members, folder, options.lockstep)
        connections = CONNECTIONS[members] if locks == 0 else 4
        command = lambda: [options.lockstep, "--endpoints", servers.endpoints(), "bench", "lock", "--connections",
                           str(connections), "--in-flight", str(-(-in_flight // connections)), "--locks", str(locks),
                           "--duration", f"{seconds}s", "--warm-up", "1s", "-o", "json"]
    with servers:
        runs = []
        for _ in range(options.rounds):
            before = servers.processor_seconds()
            report = run_json(command())
            counted_share = report["seconds"] / (report["seconds"] + 1.0)
            report["server_cpu_us"] = (servers.processor_seconds() - before) * 1e6 * counted_share / max(1, report["requests"])
            runs.append(report)
    report = tables.median_run(runs, "requests_per_second")
    report["runs"] = [run["requests_per_second"] for run in runs]
    tables.say(f"  {peer.label:14} {what:40} {report['requests_per_second']:>8.0f} cycles/s  p50 {report['p50_us']:>7.0f} us  "
               f"p99 {report['p99_us']:>7.0f} us  {report['server_cpu_us']:7.1f} us CPU  failures {report['failures']}  "
               f"overtaken {report['misses']}")
    return report


def wants(name, options):
    return not options.only or any(part in name for part in options.only)


def measure_sessions(peer, options, folder):
    """What a fleet costs that does nothing but stay alive: (cores, MiB, sessions lost), by size of the cluster."""
    found = {}
    for members in (1, 3):
        with clusters.Cluster(peer, members, folder, options.lockstep) as servers:
            command = [options.lockstep, "--endpoints", servers.endpoints(), "bench", "sessions", "--sessions",
                       str(options.sessions), "--connections", "1000", "--ttl", "30s", "--duration", "25s", "-o", "json"]
            client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            while (line := client.stderr.readline()) and "keeping" not in line:
                pass
            time.sleep(2)
            begun, before = time.monotonic(), servers.processor_seconds()
            time.sleep(20)
            cores = (servers.processor_seconds() - before) / (time.monotonic() - begun)
            resident = max(member.resident_bytes() for member in servers.members) / 2**20
            output, errors = client.communicate(timeout=120)
            if client.returncode != 0:
                raise RuntimeError(f"{' '.join(command)}: {errors.strip()}")
            report = json.loads(output)
        found[members] = {"cores": cores, "resident_mib": resident, "lost": report["misses"] + report["failures"]}
        tables.say(f"  {peer.label:14} {options.sessions} sessions with a lock each, TTL 30 s, 1,000 connections, {members} "
                   f"member(s): {100 * cores:.0f} % of a core, {resident:.0f} MiB, {found[members]['lost']} lost")
    return found


def measure_counter(peer, options, folder):
    """Adds to one counter a second, over HTTP/2, spread over three members."""
    with clusters.Cluster(peer, 3, folder, options.lockstep) as servers:
        body = folder / "add.json"
        body.write_text('{"name":"bench/hits"}')
        loads = []
        before = servers.processor_seconds()
        # h2load takes one server: three of it, and 10 connections together.
        for member, connections in zip(servers.members, (4, 3, 3)):
            loads.append(subprocess.Popen(
                ["h2load", "-c", str(connections), "-m", "100", "-D", str(options.seconds), "--warm-up-time", "1", "-d", str(body),
                 "-H", "content-type: application/json", f"http://{member.endpoint}/v1/counters/add"],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        adds = refused = 0
        for load in loads:
            text = load.communicate(timeout=120)[0]
            adds += int(re.search(r"(\d+) succeeded", text).group(1))
            refused += int(re.search(r"(\d+) 4xx", text).group(1)) + int(re.search(r"(\d+) 5xx", text).group(1))
        rate = adds / options.seconds
        cpu_us = (servers.processor_seconds() - before) * 1e6 / max(1, adds)
    tables.say(f"  {peer.label:14} one counter, 10 connections x 100, 3 members: {rate:.0f} adds/s, {cpu_us:.1f} us CPU, "
               f"{refused} refused")
    return {"adds_per_second": rate, "server_cpu_us": cpu_us, "refused": refused}


def show(results, all_peers):
    print("| what | " + " | ".join(peer.label for peer in all_peers) + " | ratios (aims) |")
    print("|---" * (len(all_peers) + 2) + "|")
    for row in ROWS:
        name, what, aims = row[0], row[1], row[5]
        if name not in results:
            continue
        ours = results[name]["lockstepd"]["requests_per_second"]
        cells, ratios = [], []
        for peer in all_peers:
            report = results[name].get(peer.label)
            cells.append("" if report is None else
                         f"{report['requests_per_second']:,.0f}/s, {report['server_cpu_us']:.0f} us CPU")
            if report is None or peer.kind not in aims:
                continue
            ratio = ours / max(1e-9, report["requests_per_second"])
            verdict = "" if ratio >= aims[peer.kind] else ": MISSED"
            ratios.append(f"{peer.label} {ratio:.1f} ({aims[peer.kind]:g}{verdict})")
        print(f"| {what} | " + " | ".join(cells) + f" | {', '.join(ratios)} |")
    for members, found in results.get("sessions", {}).items():
        verdict = "met" if found["cores"] < 0.25 and found["resident_mib"] < 600 else "MISSED"
        print(f"sessions with a lock each, {members} member(s): {100 * found['cores']:.0f} % of a core, "
              f"{found['resident_mib']:.0f} MiB, {found['lost']} lost (aim: under 25 %, 600 MB; {verdict})")
    if "counter" in results:
        rate = results["counter"]["adds_per_second"]
        print(f"adds to one counter, 3 members, 10 connections x 100: {rate:,.0f}/s (aim: 60,000; "
              f"{'met' if rate >= 60_000 else 'MISSED'})")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="./do bench locks")
    parser.add_argument("--lockstepd", required=True, help="the server")
    parser.add_argument("--lockstep", required=True, help="the load client")
    parser.add_argument("--redis-client", help="Redis's load client; without it Redis is left out")
    parser.add_argument("--zookeeper-client", help="ZooKeeper's load client; without it ZooKeeper is left out")
    parser.add_argument("--etcd", action="append", default=[], metavar="LABEL=PROGRAM", help="a peer; again for more")
    parser.add_argument("--only", action="append", default=[], help="rows whose name contains this; again for more")
    parser.add_argument("--seconds", type=int, default=4, help="a run (default 4)")
    parser.add_argument("--rounds", type=int, default=1, help="runs a row, the median counts (default 1)")
    parser.add_argument("--sessions", type=int, default=100_000, help="in the sessions row (default 100000)")
    parser.add_argument("--folder", help="where the servers' data lie; a real disk (default: a temporary folder)")
    parser.add_argument("--json", help="write everything measured to this file as well")
    return parser.parse_args()


def main():
    options = parse()
    all_peers = [Peer("lockstepd", "lockstepd", options.lockstepd)]
    all_peers += [Peer("etcd", *named.split("=", 1)) for named in options.etcd]
    if options.zookeeper_client:
        all_peers.append(Peer("zookeeper", "ZooKeeper"))
    if options.redis_client:
        all_peers.append(Peer("redis", "Redis"))
    results = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for row in ROWS:
            if not wants(row[0], options):
                continue
            results[row[0]] = {}
            for peer in all_peers:
                report = measure_row(peer, row, options, pathlib.Path(folder) / "servers")
                if report is not None:
                    results[row[0]][peer.label] = report
        servers = pathlib.Path(folder) / "servers"
        if wants("sessions", options):
            results["sessions"] = measure_sessions(all_peers[0], options, servers)
        if wants("counter", options):
            results["counter"] = measure_counter(all_peers[0], options, servers)
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, kernel {platform.release()}; {options.seconds} s a run, "
          f"{options.rounds} a row; CPU is of all servers together; a cycle is taking a lock and releasing it")
    show(results, all_peers)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
