"""Whoever kills: services, the connections of databases, members of Lockstep; many of them in the middle of a transaction.

"In the middle" is proven, not hoped for: first a participant is frozen (SIGSTOP), so that its calls have no outcome; then the
coordinator is asked until it names a transaction that is undecided and waits for that participant; only then somebody is
killed with -9: the participant itself, or the member that coordinates.
"""

import collections
import json
import time

from cluster import fail, say

Kill = collections.namedtuple("Kill", "whom between")  # between: the kind of transaction that it must hit, or None

# One round; the first word is who is killed, `node` is the member that leads.
ROUND = [Kill("stock", "tcc"), Kill("payment", None), Kill("order database", None), Kill("node", "tcc"), Kill("order", None),
         Kill("payment", "saga"), Kill("stock database", None), Kill("order", "tcc"), Kill("node", None), Kill("mail", None),
         Kill("stock", "tcc"), Kill("payment database", None), Kill("node", "saga")]
# Who is frozen so that a transaction of that kind waits for it: a participant's name and its branch.
FROZEN = {"tcc": ("stock", "stock"), "saga": ("payment", "charge")}
# `order` is killed as the participant that it is as well.
OWN_BRANCH = {"order": ("order", "order"), "stock": ("stock", "stock"), "payment": ("payment", "charge")}
UNDECIDED = {"tcc": ("trying", "submitted"), "saga": ("submitted",)}
FREEZES_MAX = 6
OPERATION = {"tcc": "try", "saga": "action"}


class Killer:
    def __init__(self, cluster, services, databases):
        self.cluster, self.services, self.databases = cluster, services, databases
        self.kills = 0
        self.between = 0
        self.proofs = []

    def plan(self, count):
        return [ROUND[number % len(ROUND)] for number in range(count)]

    def do(self, kill):
        if kill.between:
            self.kill_between(kill)
        elif kill.whom == "node":
            self.restart_node(self.cluster.wait_for_leader())
        elif kill.whom.endswith(" database"):
            self.databases[kill.whom.split()[0]].disturb()
        else:
            self.services[kill.whom].restart()
        self.kills += 1

    def restart_node(self, member):
        self.cluster.kill(member)
        self.cluster.start(member)
        self.cluster.wait_until_ready([member])

    def kill_between(self, kill):
        name, branch = OWN_BRANCH.get(kill.whom, FROZEN[kill.between])
        frozen = self.services[name]
        leader = self.cluster.wait_for_leader()
        proof = self.freeze_between(frozen, kill.between, branch)
        if proof is None:  # nobody bought anything just now: a kill like any other
            say(f"  nothing was undecided at {name}")
        if kill.whom == "node":
            self.cluster.kill(leader)
            frozen.thaw()
            self.cluster.start(leader)
            self.cluster.wait_until_ready([leader])
        else:
            frozen.restart()
        if proof is not None:
            self.between += kill.between == "tcc"
            self.proofs.append((kill, proof))

    def freeze_between(self, frozen, mode, branch):
        """Frozen while a transaction waits for it: that one. Again and again: while the order service stands still, nothing begins."""
        for _ in range(FREEZES_MAX):
            frozen.freeze()
            proof = self.undecided(mode, branch)
            if proof is not None:
                return proof
            frozen.thaw()
            time.sleep(0.05)
        return None

    def undecided(self, mode, branch, within_s=0.5):
        """A transaction of this mode that waits for the frozen branch, as the coordinator tells it; None: there is none."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            for transaction in self.list(UNDECIDED[mode]):
                found = self.look(transaction["gid"]) if transaction["mode"] == mode else None
                if found is not None and found["state"] in UNDECIDED[mode] and (branch, OPERATION[mode]) in open_calls(found):
                    return found
            time.sleep(0.01)
        return None

    def ask(self, path):
        for member in self.cluster.members:
            text = self.cluster.get(member, path)
            if text is not None:
                return json.loads(text)
        return None

    def list(self, states):
        found = []
        for state in states:
            page = self.ask(f"/v1/transactions?state={state}&limit=20")
            found += page["transactions"] if page else []
        return found

    def look(self, gid):
        return self.ask(f"/v1/transactions/show?gid={gid}")

    def unfinished(self):
        """gids, some of them where there are many."""
        return [transaction["gid"] for transaction in self.list(("submitted", "trying", "committing", "aborting"))]


def open_calls(transaction):
    return [(call["branch"], call["operation"]) for call in transaction["branches"] if call["state"] == "under_way"]


def describe(kill, proof):
    whom = "the leading node" if kill.whom == "node" else f"the {kill.whom} service"
    return (f"  kill -9 of {whom} while {proof['gid']} ({proof['mode']}) was {proof['state']}, waiting for "
            + ", ".join(f"{operation} of {branch}" for branch, operation in open_calls(proof)))
