"""Members that do not hear each other, or hear each other late. Clients reach all of them."""

import itertools
import time

import sandbox
from proxy import Proxy


def numbers(trial):
    return sorted(trial.cluster.members)


def others(trial, number):
    return [other for other in numbers(trial) if other != number]


def rounds(suite, trial, disturb, seconds=(2.0, 4.0)):
    """Each time: a leader is known, something is broken around it for a while, all is whole again."""
    for _ in range(suite.rounds):
        leader = trial.cluster.leader().number
        trial.fault("links broken")
        disturb(leader)
        time.sleep(suite.random.uniform(*seconds))
        sandbox.heal(numbers(trial))
        trial.fault("links whole")
        time.sleep(suite.random.uniform(0.5, 1.5))


def cut_leader_off(suite, trial):
    """The leader alone on one side: it must not answer, the others must go on."""
    def disturb(leader):
        for other in others(trial, leader):
            sandbox.cut(leader, other)
    rounds(suite, trial, disturb)


def leader_is_deaf(suite, trial):
    """The others hear the leader, it hears nobody."""
    rounds(suite, trial, lambda leader: [sandbox.drop(leader, other) for other in others(trial, leader)])


def leader_is_mute(suite, trial):
    """The leader hears the others, nobody hears it."""
    rounds(suite, trial, lambda leader: [sandbox.drop(other, leader) for other in others(trial, leader)])


def bridge(suite, trial):
    """Two members do not hear each other, the third hears both: first with the leader on a bank, then as the bridge."""
    def disturb(leader):
        one, other = others(trial, leader)
        sandbox.cut(*suite.random.choice([(leader, one), (leader, other), (one, other)]))
    rounds(suite, trial, disturb)


def nobody_hears_anybody(suite, trial):
    def disturb(_):
        for one, other in itertools.combinations(numbers(trial), 2):
            sandbox.cut(one, other)
    rounds(suite, trial, disturb)


def lossy(suite, trial):
    """A fifth of all packets between members is lost: everything is late, little is certain."""
    def disturb(_):
        for receiver, sender in itertools.permutations(numbers(trial), 2):
            sandbox.drop_share(receiver, sender, 0.2)
    rounds(suite, trial, disturb, (4.0, 5.0))


def with_proxy(trial):
    trial.proxy = Proxy(numbers(trial))


def straight(trial):
    """New connections do not go through the proxy any more, and what goes through it is not held up."""
    sandbox.lead_straight(numbers(trial))
    trial.proxy.clear()


def without_proxy(trial):
    sandbox.lead_straight(numbers(trial))
    trial.proxy.close()


def late(_, trial):
    """All links are late, then very uneven, then one pair is much later than the rest."""
    for weather in ({"delay_s": 0.02}, {"delay_s": 0.01, "jitter_s": 0.2}):
        trial.fault(str(weather))
        trial.proxy.set(**weather)
        time.sleep(3)
    leader = trial.cluster.leader().number
    follower = others(trial, leader)[0]
    trial.proxy.set([(leader, follower), (follower, leader)], delay_s=0.6)
    time.sleep(3)
    straight(trial)


def stalls(suite, trial):
    """Links stand still without a word, swallow one direction, or end in the middle of whatever they carry."""
    for _ in range(2):
        leader = trial.cluster.leader().number
        pairs = [pair for pair in trial.proxy.links if leader in pair]
        for weather in ({"stalled": True}, {"half_open": True}):
            trial.fault(str(weather))
            trial.proxy.set(pairs, **weather)
            time.sleep(suite.random.uniform(1.5, 2.5))
            trial.proxy.cut(pairs)
            trial.proxy.clear()
            time.sleep(1)
        for _ in range(10):
            trial.proxy.cut([suite.random.choice(list(trial.proxy.links))])
            time.sleep(0.1)
    straight(trial)


def twice_and_out_of_order(suite, trial):
    """Connections end, the sender sends again on a new one, and what the old one held arrives later still."""
    trial.proxy.set(delay_s=0.005, jitter_s=0.05, lingering_s=0.4)
    for _ in range(25):
        trial.fault("links lingering")
        trial.proxy.cut([pair for pair in trial.proxy.links if suite.random.random() < 0.5])
        time.sleep(suite.random.uniform(0.1, 0.5))
    straight(trial)


lossy.needs = ("iptables: drop a share of the packets (statistic)",)
for scenario in (late, stalls, twice_and_out_of_order):
    scenario.trial = {"prepare": with_proxy, "restore": without_proxy}

SCENARIOS = {
    "cut-leader": cut_leader_off,
    "leader-deaf": leader_is_deaf,
    "leader-mute": leader_is_mute,
    "bridge": bridge,
    "cut-all": nobody_hears_anybody,
    "lossy": lossy,
    "proxy-late": late,
    "proxy-stall": stalls,
    "proxy-twice": twice_and_out_of_order,
}
