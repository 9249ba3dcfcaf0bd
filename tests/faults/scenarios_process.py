"""Processes that die or stand still."""

import time

GAP_KILL = "leader killed"
GAP_FREEZE = "leader frozen"


def kill_leaders(trial, cycles, random):
    """The leader is killed under load and started again, again and again."""
    for _ in range(cycles):
        leader = trial.cluster.leader()
        trial.cluster.wait_until_equal()
        time.sleep(random.uniform(0.1, 0.5))
        trial.fault(GAP_KILL)
        leader.kill()
        time.sleep(random.uniform(0.3, 0.8))
        trial.fault("started again")
        leader.start()


def kill_leader(suite, trial):
    kill_leaders(trial, suite.cycles, suite.random)
    trial.measures = GAP_KILL


def freeze_leader(suite, trial):
    """A leader stands still past the election timeout, while it has reads to answer; then it wakes up."""
    for _ in range(suite.freezes):
        leader = trial.cluster.leader()
        trial.cluster.wait_until_equal()
        time.sleep(suite.random.uniform(0.2, 0.6))
        trial.fault(GAP_FREEZE)
        leader.freeze()
        time.sleep(suite.random.uniform(2.2, 3.0))
        trial.fault("thawed")
        leader.thaw()
    trial.measures = GAP_FREEZE


def kill_random(suite, trial):
    for _ in range(4):
        member = suite.random.choice(list(trial.cluster.members.values()))
        trial.fault("member killed")
        member.kill()
        time.sleep(suite.random.uniform(0.2, 1.5))
        member.start()
        time.sleep(suite.random.uniform(0.5, 1.0))


def kill_all(suite, trial):
    for _ in range(suite.rounds):
        trial.fault("all killed")
        for member in trial.cluster.members.values():
            member.kill()
        time.sleep(0.1)
        for member in trial.cluster.members.values():
            member.start()
        trial.cluster.leader()
        time.sleep(suite.random.uniform(0.5, 1.5))


SCENARIOS = {
    "kill-leader": kill_leader,
    "kill-random": kill_random,
    "kill-all": kill_all,
    "freeze-leader": freeze_leader,
}
