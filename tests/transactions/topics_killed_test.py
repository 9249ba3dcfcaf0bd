"""Topics of three real members while consumers and the leading member are killed with SIGKILL: nothing that was published is lost,
nothing stays stuck behind a message that does harm, and what is acknowledged does not come again.

usage: topics_killed_test.py --lockstepd PROGRAM [--seconds S] [--seed N]
       topics_killed_test.py --consume ENDPOINT,… GROUP FILE      (one consumer; what it saw goes into FILE)

Every sixtieth message is poison: whoever gets it dies of it, unless it was redriven. Each comes to the dead letters of its group
with its id, and from there back. With LOCKSTEP_LONG set it runs for minutes. The last line is "N passed, N failed".
"""

import argparse
import collections
import http.client
import json
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
from transactions_test import Checks, ask, metric

TOPIC = "orders"
GROUPS = ("mail", "stock")
ATTEMPTS = 2
VISIBLE_MS = 1000
PATIENCE = 150


def anyone(endpoints, path, body=None, **query):
    """Asks one after the other until one answers well; nothing if none does."""
    for endpoint in random.sample(endpoints, len(endpoints)):
        try:
            status, answer = ask(endpoint, path, body, **query)
            if status == 200:
                return answer
            if status < 500 and answer.get("code") == "claim_lost":
                return None
        except (OSError, http.client.HTTPException, ValueError):
            pass
    return None


def harmful(id):
    return int(id.split("-")[1]) % 60 == 10


def is_poison(message):
    redriven = any(header["name"] == "lockstep-group" for header in message.get("headers", []))
    return harmful(message["payload"]) and not redriven


def consume(endpoints, group, path):
    """Notes what it gets, that it is going to settle it, and that it did; dies of poison, and is killed at any moment."""
    with open(path, "a", buffering=1) as file:
        def note(kind, **what):
            file.write(json.dumps({"kind": kind, "group": group, "at": time.monotonic(), **what}) + "\n")

        while True:
            asked = time.monotonic()
            claim = anyone(endpoints, "/v1/topics/claim", {"topic": TOPIC, "group": group, "max": 8, "visibility_ms": VISIBLE_MS,
                                                           "attempts_max": ATTEMPTS, "wait_ms": 500})
            if not claim or not claim["messages"]:
                time.sleep(0.02)
                continue
            partition = claim["partition"]
            through = None
            for message in claim["messages"]:
                note("got", id=message["payload"], key=message["key"], place=[partition, message["offset"]], asked=asked)
                if is_poison(message) and through is None:
                    os._exit(1)
                if is_poison(message):
                    break
                through = message["offset"]
            done = [message for message in claim["messages"] if message["offset"] <= through]
            note("settling", ids=[message["payload"] for message in done])
            settled = anyone(endpoints, "/v1/topics/settle", {"topic": TOPIC, "group": group, "claim": claim["claim"], "through": through})
            if settled:
                note("settled", places=[[partition, message["offset"]] for message in done])


class Consumers:
    def __init__(self, endpoints, folder):
        self.command = [sys.executable, "-B", __file__, "--consume", ",".join(endpoints)]
        self.folder = pathlib.Path(folder)
        self.number = 0
        self.running = {}
        self.kills = self.deaths = 0
        for group in GROUPS * 2:
            self.start(group)

    def start(self, group):
        self.number += 1
        file = self.folder / f"consumer-{self.number}"
        self.running[self.number] = (group, subprocess.Popen([*self.command, group, str(file)]))

    def keep(self):
        """Those that died of what they got are there again."""
        for number, (group, process) in list(self.running.items()):
            if process.poll() is not None:
                self.deaths += 1
                del self.running[number]
                self.start(group)

    def kill_one(self, prng):
        prng.choice(list(self.running.values()))[1].kill()
        self.kills += 1

    def end(self):
        for _, process in self.running.values():
            process.kill()
            process.wait()

    def notes(self):
        found = []
        for file in self.folder.glob("consumer-*"):
            # The last line may be half of one: whoever wrote it was killed.
            found += [json.loads(line) for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return sorted(found, key=lambda one: one["at"])


class Publisher:
    """Publishes one message after the other, each until that is certain; so some are there twice."""

    def __init__(self, endpoints, prefix):
        self.endpoints, self.prefix = endpoints, prefix
        self.certain = []
        self.failure = ""
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        number = 0
        while not self.stopping.is_set():
            number += 1
            message = {"key": f"{self.prefix}{number % 3}", "payload": f"{self.prefix}-{number}"}
            end = time.monotonic() + PATIENCE
            while not anyone(self.endpoints, "/v1/topics/publish", {"topic": TOPIC, "messages": [message]}):
                if time.monotonic() > end:
                    self.failure = f"{message['payload']} cannot be published"
                    return
                time.sleep(0.05)
            self.certain.append(message["payload"])
            time.sleep(0.03)


def kill_leader(members, folder):
    for member in members:
        if member.process.poll() is not None:
            raise RuntimeError(f"{member.name} ended by itself:\n{member.printed()[-3000:]}")
    for index, member in enumerate(members):
        try:
            if metric(member.endpoint, 'lockstep_raft_role{role="leader"}') != 1:
                continue
        except (OSError, StopIteration, http.client.HTTPException):
            continue
        member.process.kill()
        member.process.wait()
        time.sleep(0.2)
        port = member.endpoint.rsplit(":", 1)[1]
        members[index] = servers.Server(member.name, member.process.args, port, folder).wait_until_it_serves()
        return True
    return False


def redrive(endpoints):
    """Brings the letters of all groups back; how each of them looked."""
    letters = []
    for group in GROUPS:
        answer = anyone(endpoints, "/v1/topics/dead", topic=TOPIC, group=group)
        for letter in (answer or {"messages": []})["messages"]:
            letters.append((group, letter["payload"], letter["reason"]))
            anyone(endpoints, "/v1/topics/redrive",
                   {"topic": TOPIC, "group": group, "partition": letter["partition"], "offset": letter["offset"]})
    return letters


def drain(endpoints, consumers):
    """Until nothing is left to any group; False: it is stuck."""
    letters, quiet = [], 0
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and quiet < 2:
        consumers.keep()
        found = redrive(endpoints)
        letters += found
        shown = anyone(endpoints, "/v1/topics/show", topic=TOPIC)
        left = not shown or len(shown["groups"]) < len(GROUPS) or any(group["behind"] for group in shown["groups"])
        quiet = 0 if left or found else quiet + 1
        time.sleep(0.1)
    return quiet == 2, letters


def findings(notes, certain):
    """What is wrong with what the consumers saw."""
    wrong = []
    settled, furthest = {}, {}
    acknowledged = collections.defaultdict(set)
    for note in notes:
        group = note["group"]
        if note["kind"] == "settling":
            acknowledged[group].update(note["ids"])
            continue
        if note["kind"] == "settled":
            for place in note["places"]:
                settled.setdefault((group, *place), note["at"])
            continue
        partition, offset = note["place"]
        if note["asked"] > settled.get((group, partition, offset), float("inf")):
            wrong.append(f"{note['id']} came to {group} again after it was acknowledged")
        if (group, partition, offset) not in furthest.get(("seen", group), set()):
            last, at = furthest.get((group, partition), (-1, 0))
            if offset < last and note["asked"] > at:
                wrong.append(f"{note['id']} came to {group} after what stands behind it")
        furthest.setdefault(("seen", group), set()).add((group, partition, offset))
        if offset > furthest.get((group, partition), (-1, 0))[0]:
            furthest[group, partition] = (offset, note["at"])
    for group in GROUPS:
        wrong += [f"{id} was published, and {group} never acknowledged it" for id in certain if id not in acknowledged[group]]
    return wrong


def run(check, given, folder):
    members = servers.lockstepd_cluster(given.lockstepd, folder, 3)
    endpoints = [member.endpoint for member in members]
    prng = random.Random(given.seed)
    consumers, publishers, leaders_killed = None, [], 0
    try:
        while not anyone(endpoints, "/v1/topics/create", {"topic": TOPIC, "partitions": 3, "retention_ms": 0}):
            time.sleep(0.05)
        consumers = Consumers(endpoints, folder)
        publishers = [Publisher(endpoints, prefix) for prefix in ("a", "b")]
        end = time.monotonic() + given.seconds
        while time.monotonic() < end or not leaders_killed or not consumers.kills:
            time.sleep(prng.uniform(0.1, 0.5))
            consumers.keep()
            if prng.random() < 0.3:
                leaders_killed += kill_leader(members, folder)
            else:
                consumers.kill_one(prng)
        for publisher in publishers:
            publisher.stopping.set()
            publisher.thread.join()
        check("everything could be published", not any(publisher.failure for publisher in publishers), [one.failure for one in publishers])
        drained, letters = drain(endpoints, consumers)
        kill_leader(members, folder)  # and none has ended by itself
        check("nothing is left", drained, anyone(endpoints, "/v1/topics/show", topic=TOPIC))
    finally:
        for publisher in publishers:
            publisher.stopping.set()
        if consumers:
            consumers.end()
        for member in members:
            member.stop()
    certain = [id for publisher in publishers for id in publisher.certain]
    notes = consumers.notes()
    wrong = findings(notes, certain)
    check("all that was published came to every group, in its order, and once acknowledged not again", not wrong, wrong)
    poison = {id for id in certain if harmful(id)}
    for group in GROUPS:
        dead = {id for one, id, _ in letters if one == group}
        check(f"poison came to the dead letters of {group}", poison <= dead, poison - dead)
    check("with a reason", all(reason for _, _, reason in letters), letters)
    # It would notice.
    first = next(note for note in notes if note["kind"] == "got")
    again = {**first, "at": time.monotonic(), "asked": time.monotonic()}
    there = {"kind": "settled", "group": first["group"], "at": first["at"], "places": [first["place"]]}
    check("a loss is noticed", findings(notes, [*certain, "nobody"]))
    check("a message that comes again is noticed", findings([*notes, there, again], certain))
    print(f"{len(certain)} messages under {leaders_killed} kills of the leader, {consumers.kills} of consumers, "
          f"who died of {consumers.deaths - consumers.kills} poisons", flush=True)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd")
    arguments.add_argument("--consume", nargs=3)
    arguments.add_argument("--seconds", type=int, default=180 if os.environ.get("LOCKSTEP_LONG") else 4)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given = arguments.parse_args()
    if given.consume:
        endpoints, group, file = given.consume
        return consume(endpoints.split(","), group, file)
    print(f"seed {given.seed}, {given.seconds} s", flush=True)
    check = Checks()
    with tempfile.TemporaryDirectory() as folder:
        run(check, given, folder)
    print(f"{check.passed} passed, {check.failed} failed")
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
