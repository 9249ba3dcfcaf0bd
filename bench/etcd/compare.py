"""lockstepd and etcd, measured in turn: same load client, same machine, same run. Called by `./do bench etcd`.

Prints each row as soon as it is measured, then a table with ratios and targets. A figure that misses its target is
marked, and is no failure: benchmarks are not tests.
"""

import argparse
import json
import pathlib
import platform
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import cluster as clusters
import gaps


class Server:
    def __init__(self, label, program, is_lockstepd, options=()):
        self.label = label
        self.program = program
        self.is_lockstepd = is_lockstepd
        self.options = list(options)


class Row:
    """A run of the load client. `rate` names the figure compared, whose ratio must reach `target`.

    `at`: a single connection hits the leader or a follower by chance, which is another figure. "each": every member
    in turn; "leader": only there; "any": as the client chooses.
    """

    def __init__(self, name, what, arguments, target, rate="requests_per_second", per="requests", cpu_target=None,
                 latency_target=None, at="any"):
        self.name = name
        self.what = what
        self.arguments = arguments.split()
        self.target = target
        self.rate = rate
        self.per = per
        self.cpu_target = cpu_target
        self.latency_target = latency_target
        self.at = at


MANY = "--connections 10 --in-flight 100"
SOME = "--connections 1 --in-flight 64"
ONE = "--connections 1 --in-flight 1"
ONE_MEMBER = [
    Row("put-many", "puts, 1 member, 10x100", f"put {MANY}", 4),
    Row("put-some", "puts, 1 member, 64 in flight", f"put {SOME}", 3.5),
    Row("put-one", "puts, 1 member, 1 in flight", f"put {ONE}", None, latency_target=0.5),
]
THREE_MEMBERS = [
    Row("put-many-3", "puts, 3 members, 10x100", f"put {MANY}", 4, cpu_target=0.2),
    Row("put-some-3", "puts, 3 members, 64 in flight", f"put {SOME}", 3.5),
    Row("put-one-3", "puts, 3 members, 1 in flight", f"put {ONE}", None, latency_target=0.6, at="each"),
    Row("get-3", "linearizable ranges, 10x100", f"get {MANY}", 5),
    Row("get-serializable-3", "serializable ranges, 10x100", f"get --serializable {MANY}", 5),
    Row("txn-3", "compare-and-put, 256 in flight", "txn --connections 4 --in-flight 64", 5),
    Row("watch-3", "events to 100 watchers, 16 writers", "watch --watchers 100 --writers 16", 2,
        rate="events_per_second", per="events"),
    Row("lease-grant-3", "lease grants, 64 in flight", f"lease-grant {SOME}", 4),
    Row("lease-keepalive-3", "lease keepalives, leader, 64 in flight", f"lease-keepalive {SOME}", 4, at="leader"),
    Row("lease-keepalive-shared-3", "the same, on one stream", f"lease-keepalive {SOME} --streams 1", 4, at="leader"),
]


def say(text):
    print(text, file=sys.stderr, flush=True)


def median_run(runs, rate):
    return sorted(runs, key=lambda run: run[rate])[len(runs) // 2]


def places(cluster, row):
    """What the load client connects to, a run each."""
    if row.at == "each":
        return [member.endpoint for member in cluster.members]
    return [cluster.leader().endpoint if row.at == "leader" else cluster.endpoints()]


def measure_row(cluster, row, options):
    runs = []
    arguments = row.arguments
    if arguments[0] == "get":
        # Putting the keys is not part of what a read costs.
        cluster.run_cli(["bench", "get", "--total", "1"])
        arguments = [*arguments, "--no-preload"]
    for place in places(cluster, row) * options.rounds:
        before = cluster.processor_seconds()
        report = cluster.run_cli(["bench", *arguments, "--duration", f"{options.seconds}s", "--warm-up", "1s"],
                                 endpoints=place)
        # The warm-up is in the CPU and not in the count.
        counted_share = report["seconds"] / (report["seconds"] + 1.0)
        report["server_cpu_us"] = (cluster.processor_seconds() - before) * 1e6 * counted_share / max(1, report[row.per])
        runs.append(report)
    report = median_run(runs, row.rate)
    report["runs"] = [run[row.rate] for run in runs]
    say(f"  {cluster.server.label:14} {row.what:38} {report[row.rate]:>10.0f}/s  p50 {report['p50_us']:>8.0f} us  "
        f"p99 {report['p99_us']:>8.0f} us  {report['server_cpu_us']:6.1f} us CPU  failures {report['failures']}")
    return report


def measure_rows(server, size, rows, options, folder):
    results = {}
    rows = [row for row in rows if options.wants(row.name)]
    if not rows and not (size == 3 and options.wants("memory-idle")):
        return results
    with clusters.Cluster(server, size, folder, options.lockstep) as cluster:
        if size == 3 and options.wants("memory-idle"):
            time.sleep(10)
            results["memory-idle"] = cluster.resident_mib()
            say(f"  {server.label:14} resident, idle: {results['memory-idle']:.1f} MiB a member")
        for row in rows:
            results[row.name] = measure_row(cluster, row, options)
    return results


def measure_memory(server, options, folder):
    with clusters.Cluster(server, 3, folder, options.lockstep) as cluster:
        cluster.run_cli(["bench", "get", *MANY.split(), "--keys", str(options.memory_keys), "--duration", "1s"])
        time.sleep(15)
        resident = cluster.resident_mib()
    say(f"  {server.label:14} resident with {options.memory_keys} keys: {resident:.0f} MiB a member")
    return resident


def measure_server(server, options):
    say(f"{server.label}: {server.program}")
    folder = pathlib.Path(options.folder) / "cluster"
    results = measure_rows(server, 1, ONE_MEMBER, options, folder)
    results |= measure_rows(server, 3, THREE_MEMBERS, options, folder)
    if options.wants("memory-keys"):
        results["memory-keys"] = measure_memory(server, options, folder)
    for name, freeze in (("kill", False), ("freeze", True)):
        if options.wants(name):
            with clusters.Cluster(server, 3, folder, options.lockstep) as cluster:
                results[name] = gaps.measure(cluster, freeze, options.events, say)
    return results


def met(value, target, most):
    return (value <= target) if most else (value >= target)


class Table:
    def __init__(self, labels):
        self.labels = labels
        self.lines = [["what", *labels, "ratio", "target", ""]]

    def add(self, what, texts, ratio, target, most=False):
        if ratio is None or target is None:
            verdict, aim = "", ""
        else:
            verdict = "met" if met(ratio, target, most) else "MISSED"
            aim = f"{'at most' if most else 'at least'} {target:g}"
        self.lines.append([what, *texts, "" if ratio is None else f"{ratio:.2f}", aim, verdict])

    def show(self):
        widths = [max(len(line[i]) for line in self.lines) for i in range(len(self.lines[0]))]
        for i, line in enumerate(self.lines):
            print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")
            if i == 0:
                print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


def figures(results, get):
    return [get(results[label]) for label in results]


def ratio_to_best(values, most):
    """Ours, which comes first, to the best of the others; `most`: less is better."""
    others = values[1:]
    if not others:
        return None
    best = min(others) if most else max(others)
    return values[0] / best if best else None


def show_rows(table, results, rows):
    for row in rows:
        if not all(row.name in result for result in results.values()):
            continue
        rates = figures(results, lambda r: r[row.name][row.rate])
        table.add(row.what, [f"{rate:,.0f}/s" for rate in rates], ratio_to_best(rates, False), row.target)
        cpu = figures(results, lambda r: r[row.name]["server_cpu_us"])
        table.add("  server CPU each", [f"{us:.1f} us" for us in cpu], ratio_to_best(cpu, True), row.cpu_target, True)
        for name in ("p50_us", "p99_us"):
            values = figures(results, lambda r: r[row.name][name])
            table.add(f"  {name[:3]}", [f"{us:,.0f} us" for us in values], ratio_to_best(values, True),
                      row.latency_target if name == "p50_us" else None, True)


def show(results):
    table = Table(list(results))
    show_rows(table, results, ONE_MEMBER + THREE_MEMBERS)
    for name, what in (("memory-idle", "resident a member, idle"), ("memory-keys", "resident a member, full")):
        if all(name in result for result in results.values()):
            values = figures(results, lambda r: r[name])
            table.add(what, [f"{mib:.1f} MiB" for mib in values], ratio_to_best(values, True), 0.7, True)
    ours = next(iter(results))
    for name, what, p50_target, worst_target in (("kill", "gap in writes, leader killed", 0.15, 0.5),
                                                 ("freeze", "gap in writes, leader frozen", 1.0, None)):
        if all(name in result for result in results.values()):
            for label, pick, target in (("p50", statistics.median, p50_target), ("worst", max, worst_target)):
                values = figures(results, lambda r: pick(r[name]))
                table.add(f"{what}, {label} (s)", [f"{value:.3f} s" for value in values], pick(results[ours][name]),
                          target, True)
    table.show()


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="./do bench etcd")
    parser.add_argument("--lockstepd", required=True, help="the server")
    parser.add_argument("--lockstep", required=True, help="the load client")
    parser.add_argument("--etcd", action="append", default=[], metavar="LABEL=PROGRAM", help="a peer; again for more")
    parser.add_argument("--only", action="append", default=[], help="rows whose name contains this; again for more")
    parser.add_argument("--seconds", type=int, default=4, help="a run of the load client (default 4)")
    parser.add_argument("--rounds", type=int, default=1, help="runs a row, the median counts (default 1)")
    parser.add_argument("--events", type=int, default=20, help="leaders killed and frozen (default 20)")
    parser.add_argument("--memory-keys", type=int, default=1_000_000, help="keys in the memory row (default 1000000)")
    parser.add_argument("--folder", help="where the clusters' data lie; a real disk (default: a temporary folder)")
    parser.add_argument("--json", help="write everything measured to this file as well")
    options = parser.parse_args()
    options.wants = lambda name: not options.only or any(part in name for part in options.only)
    return options


def main():
    options = parse()
    servers = [Server("lockstepd", options.lockstepd, True)]
    for peer in options.etcd:
        label, _, program = peer.partition("=")
        servers.append(Server(label, program, False))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        options.folder = folder
        results = {server.label: measure_server(server, options) for server in servers}
    print(f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, kernel {platform.release()}; "
          f"{options.seconds} s a run, {options.rounds} a row; CPU is of all servers together")
    show(results)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
