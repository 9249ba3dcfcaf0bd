"""Many clients add to one counter while its leader is killed: what they were told must be what it says.

Every add carries an Idempotency-Key, so one without an answer is sent again until it has one, and counts once. The answers
are the counter's values after each add: no two are equal, and the largest is the counter's own.
"""

import json
import random
import threading
import time

from cluster import say

NAME = "demo/hits"
CLIENTS = 8
ADDS = 250  # each
KILLS = 2


class Adder(threading.Thread):
    def __init__(self, cluster, number):
        super().__init__(daemon=True)
        self.cluster, self.number = cluster, number
        self.values = []
        self.repeated = 0

    def run(self):
        for count in range(ADDS):
            key = f"demo-{self.number}-{count}"
            for attempt in range(10_000):
                member = random.choice(self.cluster.members)
                status, answer = self.cluster.post(member, "/v1/counters/add", {"name": NAME, "delta": 1},
                                                   {"Idempotency-Key": key}, timeout_s=2)
                if status == 200:
                    self.values.append(int(answer["value"]))
                    break
                self.repeated += attempt == 0
                time.sleep(0.01)


def run(cluster):
    say(f"\nOne counter, {CLIENTS} clients that add 1 to it {ADDS} times each, through any member; the leader is killed {KILLS} times")
    adders = [Adder(cluster, number) for number in range(CLIENTS)]
    for adder in adders:
        adder.start()
    for _ in range(KILLS):
        time.sleep(0.5)
        leader = cluster.wait_for_leader()
        cluster.kill(leader)
        time.sleep(0.5)
        cluster.start(leader)
        cluster.wait_until_ready([leader])
        say(f"  kill -9 of {leader.name}, the leader; {sum(len(adder.values) for adder in adders)} adds answered so far")
    for adder in adders:
        adder.join(120)
    values = [value for adder in adders for value in adder.values]
    counted = int(json.loads(cluster.get(cluster.wait_for_leader(), f"/v1/counters/show?name={NAME}"))["value"])
    say(f"  adds answered                {len(values):>9}")
    say(f"  of these sent more than once {sum(adder.repeated for adder in adders):>9}")
    say(f"  the counter says             {counted:>9}")
    say(f"  values told twice            {len(values) - len(set(values)):>9}")
    return counted == len(values) == len(set(values)) == CLIENTS * ADDS == max(values, default=0)
