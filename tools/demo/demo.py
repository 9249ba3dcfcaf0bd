"""What Lockstep is for: a shop whose services, databases and node are killed under it, and whose account is right.

usage: demo.py --programs FOLDER --folder FOLDER [--cluster] [--orders N] [--kills N] [--database WHERE] [--end]
       demo.py --programs FOLDER --only writes|locks|counter [--kills N] [--stay] [--keep]

The shop (shop.py, examples/shop) runs on one node, or on three with --cluster, and stays for a look around. The other parts run on
three members in a temporary folder: writes while the leader is killed under load (writes.py), locks whose holder is paused or whose
server dies, beside a real Redis (locks.py), and a counter that many add to meanwhile (counter.py).

Exit status 0 if every account is clean.
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
import left_running
import locks
import shop
import shop_databases
import writes
from cluster import Cluster, say
from shop_services import Services

KILLS = {"shop": 52, "writes": 5}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, help="where lockstepd, lockstep and the shop's services lie")
    parser.add_argument("--folder", type=pathlib.Path, help="where the shop's data and logs go")
    parser.add_argument("--only", choices=["shop", "writes", "locks", "counter"], default="shop", help="the part [shop]")
    parser.add_argument("--kills", type=int, help=f"of services, database connections and nodes [{KILLS['shop']}], "
                        f"or of leaders under writes [{KILLS['writes']}]")
    parser.add_argument("--stop", action="store_true", help="end what an earlier run left running, and nothing else")
    of_shop = parser.add_argument_group("the shop")
    of_shop.add_argument("--cluster", action="store_true", help="on three nodes; the leader is killed")
    of_shop.add_argument("--orders", type=int, default=2000, help="the first so many of orders.csv [2000]")
    of_shop.add_argument("--database", default="sqlite", help="sqlite, postgres, mariadb (a server of its own), postgres://… or mariadb://… [sqlite]")
    of_shop.add_argument("--end", action="store_true", help="leave nothing running")
    of_others = parser.add_argument_group("the other parts")
    of_others.add_argument("--writers", type=int, default=8, help="writers that keep the account [8]")
    of_others.add_argument("--stay", action="store_true", help="leave the cluster running until Ctrl-C")
    of_others.add_argument("--keep", action="store_true", help="leave data and logs behind, and say where")
    return parser.parse_args()


def stay(cluster):
    say(f"\nThe cluster stays: etcdctl --endpoints {cluster.endpoints} … Ctrl-C ends it.")
    try:
        signal.pause()
    except KeyboardInterrupt:
        pass


def start(cluster):
    for member in cluster.members:
        cluster.start(member)
    cluster.wait_until_ready(cluster.members)


def run_shop(arguments):
    folder = arguments.folder.absolute()
    left_running.end(folder)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    size = 3 if arguments.cluster else 1
    cluster = Cluster(arguments.programs, folder, size, ["--callouts-allow-loopback", "true"])
    start(cluster)
    say(f"{size} node{'s' if size > 1 else ''} of lockstepd: {cluster.endpoints}")
    databases = shop_databases.open_databases(arguments.database, folder)
    services = Services(arguments.programs, folder, databases, cluster.endpoints, shop.PAY_WITHIN_MS)
    services.start()
    say("The shop: " + ", ".join(f"{service.name} on {service.address}" for service in services.values()))
    kills = KILLS["shop"] if arguments.kills is None else arguments.kills
    good = shop.run(cluster, services, databases, arguments.orders, kills, kills // 5)
    own_server = arguments.database in ("postgres", "mariadb")  # it ends with this program, and the shop needs it
    if good and not arguments.end and not own_server:
        left_running.leave(folder, cluster, services, databases, arguments.programs)
    if not good:
        say(f"\nThe account is NOT clean. Data and logs are in {folder}")
    sys.exit(0 if good else 1)


def run_others(arguments):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lockstep-demo-"))
    if not arguments.keep:
        atexit.register(shutil.rmtree, folder, True)  # runs after the members were ended: they registered later
    cluster = Cluster(arguments.programs, folder)
    say("Three members of lockstepd: " + ", ".join(f"{member.name} on {member.endpoint}" for member in cluster.members))
    start(cluster)
    cluster.etcdctl("put", "greeting", "hello")
    say(f"  etcdctl put greeting hello; etcdctl get greeting: {cluster.etcdctl('get', 'greeting', '--print-value-only')}")
    say("\n" + cluster.etcdctl("endpoint", "status", "-w", "table"))
    parts = {"writes": lambda: writes.run(cluster, arguments.programs, arguments.kills or KILLS["writes"], arguments.writers),
             "locks": lambda: locks.run(cluster, folder), "counter": lambda: counter.run(cluster)}
    good = parts[arguments.only]()
    cluster.wait_until_ready(cluster.members)
    say("\n" + cluster.etcdctl("endpoint", "status", "-w", "table"))
    good = good and cluster.etcdctl("get", "greeting", "--print-value-only") == "hello"
    say("\nThe account is clean, and the cluster healthy again." if good else "\nThe account is NOT clean.")
    if arguments.stay:
        stay(cluster)
    if arguments.keep:
        say(f"Data and logs are in {folder}")
    sys.exit(0 if good else 1)


def main():
    arguments = parse()
    os.environ["LOCKSTEP_CLIENT_CONFIG"] = os.devnull
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0 if arguments.stay else 1))  # and whatever was started is ended
    if arguments.stop:
        left_running.end(arguments.folder.absolute())
    elif arguments.only == "shop":
        run_shop(arguments)
    else:
        run_others(arguments)


if __name__ == "__main__":
    main()
