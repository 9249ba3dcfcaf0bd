"""Commands that hold something, or count together, as a person or a script types them, on a real lockstepd.

usage: recipes_test.py --lockstepd PROGRAM --lockstep PROGRAM

The last line is "N passed, N failed".
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent.parent / name) for name in ("clients", "v1")]

import servers
from world import Tally


class Person:
    def __init__(self, program, endpoint, tally):
        self.words = [program, "--endpoints", endpoint]
        self.tally = tally
        self.environment = {**os.environ, "LOCKSTEP_CLIENT_CONFIG": os.devnull, "LOCKSTEP_HOLDER": "tester"}

    def begin(self, *words):
        return subprocess.Popen([*self.words, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, env=self.environment)

    def types(self, *words):
        process = self.begin(*words)
        output, errors = process.communicate(timeout=120)
        return process.returncode, output, errors

    def expect(self, what, words, status=0, output=None, error=""):
        seen = self.types(*words)
        self.tally.check(what, seen[0] == status and (output is None or seen[1] == output) and error in seen[2], seen)
        return seen[1]

    def asks(self, *words):
        return json.loads(self.types(*words, "-o", "json")[1])


def locks(person):
    token = person.expect("a command runs under a lock and learns its token",
                          ("lock", "orders", "--", "sh", "-c", "echo $LOCKSTEP_LOCK_NAME $LOCKSTEP_LOCK_TOKEN"))
    later = person.expect("the next one", ("lock", "orders", "--", "sh", "-c", "echo $LOCKSTEP_LOCK_NAME $LOCKSTEP_LOCK_TOKEN"))
    person.tally.check("has a larger token", int(later.split()[1]) > int(token.split()[1]), (token, later))
    person.expect("its exit status is the command's", ("lock", "orders", "--", "sh", "-c", "exit 3"), 3)
    person.expect("also when a signal ends it", ("lock", "orders", "--", "sh", "-c", "kill -9 $$"), 137)
    person.expect("what cannot be run", ("lock", "orders", "--", "/nowhere/at/all"), 4, error="cannot run /nowhere/at/all")
    person.expect("no name", ("lock",), 4, error="which one?")

    holder = person.begin("lock", "orders", "--reason", "a test", "--", "sh", "-c", "echo runs; exec sleep 600")
    holder.stdout.readline()
    shown = person.asks("lock", "show", "orders")["contenders"]
    person.tally.check("it is shown who holds it, and why",
                       [(row["state"], row["holder"], row["reason"]) for row in shown] == [("holds", "tester", "a test")], shown)
    person.tally.check("it is listed", [row["name"] for row in person.asks("lock", "ls")["locks"]] == ["orders"])
    person.expect("nobody else gets it at once", ("lock", "orders", "--wait", "0s", "--", "true"), 4, error="the lock is held")
    person.expect("nor in time", ("lock", "orders", "--wait", "200ms", "--", "true"), 6, error="not got within 200ms")
    waiting = person.begin("lock", "orders", "--ttl", "600s", "--", "true")
    while len(person.asks("lock", "show", "orders")["contenders"]) < 2:
        pass
    waiting.send_signal(signal.SIGINT)
    person.tally.check("who is told to end while it waits does", waiting.wait(60) == 128 + signal.SIGINT, waiting.returncode)
    left = person.asks("lock", "show", "orders")["contenders"]
    person.tally.check("and leaves its place", len(left) == 1, left)
    person.expect("taking it away is asked about", ("lock", "release", "orders"), 4)
    person.expect("or confirmed beforehand", ("lock", "release", "orders", "--yes", "--reason", "the test says so"))
    _, errors = holder.communicate(timeout=60)
    person.tally.check("then its command is stopped", holder.returncode == 7 and "stopping the command" in errors,
                       (holder.returncode, errors))

    warned = person.begin("lock", "orders", "--warn", "--", "sh", "-c", "echo runs; read line")
    warned.stdout.readline()
    person.expect("or only warned", ("lock", "release", "orders", "--yes"))
    told = warned.stderr.readline()
    warned.terminate()
    warned.communicate(timeout=60)
    person.tally.check("as was asked for", "the command goes on" in told, told)

    alone = person.begin("lock", "orders", "-o", "json")
    while '"token"' not in alone.stdout.readline():
        pass
    alone.send_signal(signal.SIGINT)
    alone.communicate(timeout=60)
    person.tally.check("without a command it is held until Ctrl-C", alone.returncode == 0, alone.returncode)
    person.tally.check("and then free", person.asks("lock", "show", "orders")["contenders"] == [])


def other_things_held(person):
    three = ("semaphore", "importers", "--permits", "2", "--")
    person.expect("two permits are two", (*three, *person.words, *three, "true"))
    person.expect("a third is not there", (*three, *person.words, *three, *person.words, "semaphore", "importers", "--permits",
                                          "2", "--wait", "0s", "--", "true"), 4)
    person.expect("everybody names the same number", ("semaphore", "importers", "--permits", "3", "--", "true"), 4)
    person.expect("unless it is removed before", ("semaphore", "rm", "importers"))
    person.expect("then another one", ("semaphore", "importers", "--permits", "3", "--", "true"))
    shown = person.expect("a leader leads while its command runs",
                          ("elect", "boss", "host-a", "--", *person.words, "elect", "show", "boss", "-o", "json"))
    person.tally.check("and says who it is", json.loads(shown)["value"] == "host-a", shown)
    person.expect("then nobody does", ("elect", "show", "boss"), 3)


def numbers(person):
    person.expect("a counter counts", ("counter", "add", "hits", "-o", "raw"), output="1\n")
    person.expect("by more than one", ("counter", "add", "hits", "10", "-o", "raw"), output="11\n")
    person.expect("downwards", ("counter", "add", "hits", "-o", "raw", "--", "-3"), output="8\n")
    person.expect("is set, if it is as expected", ("counter", "set", "hits", "1", "--expected", "7"), 4)
    person.expect("is read", ("counter", "get", "hits", "-o", "raw"), output="8\n")
    person.expect("is removed", ("counter", "rm", "hits", "-o", "raw"), output="8\n")
    made = person.expect("unique numbers", ("id", "next", "--count", "1000", "-o", "raw")).split()
    person.tally.check("are unique, and in order", len(set(made)) == 1000 and made == sorted(made, key=int), made[:5])
    take = ("limit", "take", "mails", "--limit", "2", "--period", "1h")
    for _ in range(2):
        person.expect("within the limit", take)
    person.expect("above it", take, 4)
    person.expect("until it is as new", ("limit", "reset", "mails"))
    person.expect("again", take)
    person.expect("a limit of nothing", ("limit", "take", "mails", "--limit", "0"), 4)


def timers(person):
    person.expect("a timer is set", ("timer", "set", "unpaid", "order-1", "--after", "100ms", "--payload", "release it"))
    person.expect("another, at a moment", ("timer", "set", "unpaid", "order-2", "--at", "2080-01-01T00:00:00Z"))
    person.expect("again and again", ("timer", "set", "reports", "daily", "--cron", "0 8 * * *", "--zone", "Europe/Berlin"))
    person.expect("they are listed", ("timer", "ls", "unpaid", "-o", "raw"), output="order-1\norder-2\n")
    person.expect("no moment at all", ("timer", "set", "unpaid", "x", "--at", "soon"), 4, error="neither seconds since 1970")
    person.expect("nonsense for cron", ("timer", "set", "unpaid", "x", "--cron", "99 * * * *"), 4)
    due = person.asks("timer", "claim", "unpaid", "--wait", "60s")["deliveries"]
    person.tally.check("what is due is delivered", [(row["name"], row["payload"]) for row in due] == [("order-1", "release it")], due)
    person.expect("and settled", ("timer", "ack", "unpaid", "order-1", due[0]["token"]))
    person.expect("only once", ("timer", "ack", "unpaid", "order-1", due[0]["token"]), 4)
    person.expect("nothing else is due", ("timer", "claim", "unpaid"), 3)
    person.expect("a timer is cancelled", ("timer", "rm", "unpaid", "order-2"))
    person.expect("then it is not there", ("timer", "show", "unpaid", "order-2"), 3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lockstepd", required=True)
    parser.add_argument("--lockstep", required=True)
    given = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        server = servers.lockstepd(given.lockstepd, folder)
        try:
            person = Person(given.lockstep, server.endpoint, tally)
            for part in (locks, other_things_held, numbers, timers):
                part(person)
        finally:
            server.stop()
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
