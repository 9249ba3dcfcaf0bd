"""XA and TCC over PostgreSQL and MariaDB while everything is killed with SIGKILL, again and again: the participants, their
databases, the server that coordinates, and that one while branches are prepared and not yet committed.

usage: killed_test.py --lockstepd PROGRAM --bank PROGRAM [--seconds S] [--seed N]

At the end each transaction is finished and did all or nothing in both databases, each branch once; all money is there; what
is still prepared is nobody's of ours, and what a stranger prepared is as it was. With LOCKSTEP_LONG set it runs for minutes.
The last line is "N passed, N failed".
"""

import argparse
import collections
import http.client
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))

import servers
from databases import Database
from transactions_test import Checks, ask, wait_for

ACCOUNTS, OPENING = 200, 1000
FOREIGN = "foreign-1"
PATIENCE = 120


class Bank:
    """A participant's process, on one database."""

    def __init__(self, program, database, lockstep, folder):
        self.kind = database.kind
        self.port = servers.free_port()
        self.url = f"http://127.0.0.1:{self.port}/bank"
        self.command = [program, "--listen", f"127.0.0.1:{self.port}", "--database", database.bank, "--prefix", f"bank-{self.kind[:4]}",
                        "--lockstep", lockstep]
        self.log = open(pathlib.Path(folder) / f"bank-{self.kind}.log", "ab")
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=subprocess.STDOUT)

    def wait_until_it_serves(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    return self
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)
            finally:
                connection.close()
        raise RuntimeError(f"the bank on {self.kind} does not serve")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def kill_and_restart(self):
        self.kill()
        time.sleep(0.05)
        self.start()


class World:
    def __init__(self, given, folder):
        self.databases = [Database("postgres"), Database("mariadb")]
        self.folder = folder
        self.server = servers.lockstepd(given.lockstepd, folder, "--callouts-allow-loopback=true")
        self.banks = [Bank(given.bank, database, self.server.endpoint, folder) for database in self.databases]
        for bank in self.banks:
            bank.wait_until_it_serves()
        for database in self.databases:
            database.prepare_foreign(FOREIGN)

    def close(self):
        for bank in self.banks:
            bank.kill()
        self.server.stop()
        for database in self.databases:
            database.end()

    def kill_server(self):
        self.server.process.kill()
        self.server.process.wait()

    def start_server(self):
        port = self.server.endpoint.rsplit(":", 1)[1]
        self.server = servers.Server(self.server.name, self.server.process.args, port, self.folder).wait_until_it_serves()

    def ours_prepared(self):
        return [name for database in self.databases for name in database.prepared() if name != FOREIGN]


class Load:
    """Transfers from one database to the other, by turns of xa and tcc, submitted until that is certain."""

    def __init__(self, world, prefix, threads=4):
        self.world = world
        self.prefix = prefix
        self.lock = threading.Lock()
        self.begun = 0
        self.submitted = []
        self.failures = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(random.Random(f"{prefix}-{i}"),)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def run(self, prng):
        try:
            while not self.stopping.is_set():
                with self.lock:
                    self.begun += 1
                    gid = f"{self.prefix}-{self.begun}"
                self.submit_for_certain(self.transfer(gid, prng))
                with self.lock:
                    self.submitted.append(gid)
                time.sleep(0.02)
        except Exception as error:  # whatever it is, the test has failed
            self.failures.append(repr(error))

    def transfer(self, gid, prng):
        mode = prng.choice(["xa", "tcc"])
        names = ("prepare", "commit", "rollback") if mode == "xa" else ("try", "confirm", "cancel")
        # Now and then more than anybody has: one branch refuses, the other is undone.
        amount = 10 * ACCOUNTS * OPENING if prng.random() < 0.15 else prng.randint(1, 60)
        banks = prng.sample(self.world.banks, 2)
        branches = [{"id": branch, **{name: bank.url for name in names}, "payload": {"account": prng.randrange(ACCOUNTS), "amount": change}}
                    for bank, branch, change in zip(banks, ("from", "to"), (-amount, amount))]
        retry = {"timeout": "3s", "interval": "50ms", "interval_max": "500ms", "attempts_alarm": 0}
        return {"gid": gid, "mode": mode, "branches": branches, "timeout": prng.choice(["300ms", "10s", "10s"]), "retry": retry}

    def submit_for_certain(self, body):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                status, answer = ask(self.world.server.endpoint, "/v1/transactions", body)
                if status == 200:
                    return
                if status < 500:
                    raise RuntimeError(f"{body['gid']} is refused: {answer}")
            except (OSError, http.client.HTTPException, ValueError):
                pass
            time.sleep(0.05)
        raise TimeoutError(f"{body['gid']} cannot be submitted")


def kill_between_prepare_and_commit(world):
    """True: the server died while branches were prepared, and they still were when it was dead."""
    end = time.monotonic() + 3
    while time.monotonic() < end and not world.ours_prepared():
        pass
    world.kill_server()
    proven = bool(world.ours_prepared())
    time.sleep(0.05)
    world.start_server()
    return proven


def kill_one(world, prng, kills):
    what = prng.choice(["bank", "database", "server", "prepared"])
    if what == "bank":
        prng.choice(world.banks).kill_and_restart()
    elif what == "database":
        prng.choice(world.databases).kill_and_restart()
    elif what == "server":
        world.kill_server()
        world.start_server()
    else:
        what = "prepared" if kill_between_prepare_and_commit(world) else "server"
    kills[what] += 1


def findings(states, moves, held, total):
    """What is wrong with it; nothing: all is well."""
    wrong = []
    done = collections.defaultdict(list)
    for gid, branch in moves:
        done[gid].append(branch)
    for gid, state in states.items():
        expected = {"committed": ["from", "to"], "aborted": []}.get(state)
        if expected is None or sorted(done[gid]) != expected:
            wrong.append(f"{gid} is {state}, and did {done[gid]}")
    wrong += [f"{gid} moved money, and nobody submitted it" for gid in done if gid not in states]
    wrong += [f"{held} is still held"] if held else []
    wrong += [f"{total} is there instead of {2 * ACCOUNTS * OPENING}"] if total != 2 * ACCOUNTS * OPENING else []
    return wrong


def judge(check, world, load):
    states = {gid: wait_for(world.server.endpoint, gid)["state"] for gid in load.submitted}
    end = time.monotonic() + PATIENCE
    while world.ours_prepared() and time.monotonic() < end:
        time.sleep(0.2)
    check("nothing of ours is left prepared", not world.ours_prepared(), world.ours_prepared())
    for database in world.databases:
        check(f"what a stranger prepared in {database.kind} is there", database.prepared() == [FOREIGN], database.prepared())
    moves = [tuple(row) for database in world.databases for row in database.ask("SELECT gid, branch FROM moves;")]
    held, total = (sum(int(database.ask(f"SELECT SUM({column}) FROM accounts;")[0][0]) for database in world.databases)
                   for column in ("held", "balance"))
    wrong = findings(states, moves, held, total)
    check("each did all or nothing, once, and all money is there", not wrong, wrong)
    count = collections.Counter(states.values())
    check("some were committed, others not", count["committed"] > 10 and count["aborted"] > 1, count)
    # It would notice.
    gid = next(gid for gid, state in states.items() if state == "committed")
    for planted in (findings(states, moves[1:], held, total), findings(states, [*moves, ("nobody", "to")], held, total),
                    findings({**states, gid: "aborted"}, moves, held, total), findings({**states, gid: "submitted"}, moves, held, total),
                    findings(states, moves, held + 1, total), findings(states, moves, held, total - 1)):
        check("a wrong row is noticed", planted)
    return count


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    arguments.add_argument("--bank", required=True)
    arguments.add_argument("--seconds", type=int, default=300 if os.environ.get("LOCKSTEP_LONG") else 8)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = arguments.parse_args()
    print(f"seed {given.seed}, {given.seconds} s", flush=True)
    prng = random.Random(given.seed)
    check = Checks()
    kills = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        world = World(given, folder)
        try:
            load = Load(world, "k")
            end = time.monotonic() + given.seconds
            # Each kind of death at least once; on a loaded machine that alone takes longer.
            while time.monotonic() < end or (len(kills) < 4 and time.monotonic() < end + 60):
                time.sleep(prng.uniform(0.1, 0.6))
                kill_one(world, prng, kills)
            load.stop()
            check("all were submitted", not load.failures, load.failures)
            check("each was killed, the server between prepare and commit, too", len(kills) == 4, kills)
            count = judge(check, world, load)
            print(f"{dict(count)} under {dict(kills)} kills", flush=True)
        finally:
            world.close()
    print(f"{check.passed} passed, {check.failed} failed")
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
