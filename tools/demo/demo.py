"""What Lockstep is for, on three real members: writes that survive their leader, locks that are held once, counts that are right.

usage: demo.py --programs FOLDER [--kills N] [--writers N] [--stay] [--keep]

The members are processes of lockstepd on free ports of 127.0.0.1, with their data in a temporary folder. Three accounts: of writes
while the leader is killed under load (writes.py), of locks whose holder is paused or whose server dies, beside a real
Redis (locks.py), and of a counter that many add to meanwhile (counter.py).

Exit status 0 if every account is clean and the cluster is healthy again.
"""

import argparse
import atexit
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import counter
import locks
import writes
from cluster import Cluster, say


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True, help="where lockstepd and lockstep lie")
    parser.add_argument("--kills", type=int, default=5, help="how often the leader is killed under writes [5]")
    parser.add_argument("--writers", type=int, default=8, help="writers that keep the account [8]")
    parser.add_argument("--only", choices=["writes", "locks", "counter"], help="one of the accounts")
    parser.add_argument("--stay", action="store_true", help="leave the cluster running until Ctrl-C")
    parser.add_argument("--keep", action="store_true", help="leave data and logs behind, and say where")
    return parser.parse_args()


def stay(cluster):
    say(f"\nThe cluster stays: etcdctl --endpoints {cluster.endpoints} … Ctrl-C ends it.")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass


def main():
    arguments = parse()
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
    wanted = lambda name: arguments.only in (None, name)
    accounts = {}
    if wanted("writes"):
        accounts["Every acknowledged write is there, once"] = writes.run(cluster, arguments.programs, arguments.kills,
                                                                         arguments.writers)
    if wanted("locks"):
        accounts["every lock had one holder that counted"] = locks.run(cluster, folder)
    if wanted("counter"):
        accounts["the counter is right"] = counter.run(cluster)
    cluster.wait_until_ready(cluster.members)
    say("\n" + cluster.etcdctl("endpoint", "status", "-w", "table"))
    health = cluster.etcdctl("endpoint", "health")
    accounts["the cluster is healthy again"] = cluster.etcdctl("get", "greeting", "--print-value-only") == "hello"
    good = all(accounts.values())
    if good:
        say("\n" + ", ".join(accounts) + ".")
    else:
        say("\nThe account is NOT clean: not true that " + "; ".join(what for what, true in accounts.items() if not true) + ".")
    if health != "":
        say(health)
    if arguments.stay:
        stay(cluster)
    say("\nNext: `./do demo -- --stay` leaves the cluster running, `./do run` starts one member on 127.0.0.1:2379,\n"
        "`./do sim --seeds 100` breaks clocks, disks and networks from a seed, README.md has clusters with TLS.")
    if arguments.keep:
        say(f"Data and logs are in {folder}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
