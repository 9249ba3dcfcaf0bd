"""Members come and go while something else is broken."""

import threading
import time

import sandbox
import scenarios_network
from cluster import Failed
from scenarios_disk import Injection

NEWCOMER = 4
CHANGE_SECONDS_MAX = 60
LISTED_SECONDS_MAX = 10


def ask_until(trial, path, body, seconds=CHANGE_SECONDS_MAX, done=()):
    """Asks any member until one says yes; `done`: words of a refusal which say that it is so already."""
    deadline = time.monotonic() + seconds
    said = "nothing"
    while time.monotonic() < deadline:
        for member in list(trial.cluster.members.values()):
            try:
                return member.ask(path, body, 5)
            except (OSError, Failed) as error:
                said = str(error)
                if any(words in said for words in done):
                    return {}
        time.sleep(0.2)
    raise Failed(f"{path} was not done within {seconds} s: {said}")


def listed(trial):
    """Who belongs to the cluster, by id: never older than what was answered before."""
    return {member["ID"]: member
            for member in ask_until(trial, "/v3/cluster/member/list", {"linearizable": True})["members"]}


def id_of(trial, member):
    for number, listing in listed(trial).items():
        if any(member.peer in url for url in listing["peerURLs"]):
            return number
    return None


def change(trial):
    """A learner comes, is promoted, and one of the first three goes."""
    newcomer = trial.cluster.add(NEWCOMER)
    ask_until(trial, "/v3/cluster/member/add", {"peerURLs": [f"http://{newcomer.peer}"], "isLearner": True},
              done=("Peer URLs already exists", "peerURL exists"))
    newcomer.start("--join", ",".join(member.peer for number, member in trial.cluster.members.items() if number != NEWCOMER))
    trial.fault("learner added")
    number = id_of(trial, newcomer)
    if number is None:
        raise Failed(f"{newcomer.name} was added and is not listed: {listed(trial)}")
    ask_until(trial, "/v3/cluster/member/promote", {"ID": number}, done=("can only promote a learner",))
    trial.fault("learner promoted")
    if listed(trial)[number].get("isLearner"):
        raise Failed(f"{newcomer.name} was promoted and is still a learner")
    leaving = trial.cluster.members[1]
    gone = id_of(trial, leaving)
    if gone is not None:
        ask_until(trial, "/v3/cluster/member/remove", {"ID": gone}, done=("member not found",))
    trial.fault("member removed")
    wait_until_gone(trial, leaving, gone)


def wait_until_gone(trial, leaving, gone):
    """The answer may come while the old and the new members still decide together: then the list has both, not for long."""
    removed = time.monotonic()
    while gone in listed(trial):
        if time.monotonic() - removed > LISTED_SECONDS_MAX:
            raise Failed(f"{leaving.name} was removed and is still listed {LISTED_SECONDS_MAX} s later")
        time.sleep(0.05)
        trial.note(f"{leaving.name} was still listed {time.monotonic() - removed:.2f} s after its removal was acknowledged")


def change_during(trial, disturb, calm):
    """`disturb` goes on, again and again, while the membership changes."""
    over = threading.Event()
    trouble = []

    def keep_disturbing():
        try:
            while not over.is_set():
                disturb()
                calm()
                over.wait(1.0)
        except Exception as error:  # told to whoever waits for it
            trouble.append(error)

    thread = threading.Thread(target=keep_disturbing)
    thread.start()
    try:
        change(trial)
    finally:
        over.set()
        thread.join()
    if trouble:
        raise trouble[0]
    leaving = trial.cluster.members[1]
    time.sleep(1)
    stays = [member for member in trial.cluster.members.values() if member is not leaving]
    if leaving.running:
        leaving.kill()
    trial.cluster.leader(among=stays)
    trial.finish(stays)


def some_leader(trial):
    """Who leads, as far as anybody says so now."""
    for member in list(trial.cluster.members.values()):
        status = member.status(0.5) if member.running else None
        if status and status.get("leader") == status["header"]["member_id"]:
            return member
    return trial.cluster.members[2]


def in_calm(_, trial):
    change_during(trial, lambda: None, lambda: None)


def while_leaders_die(_, trial):
    dead = []

    def kill():
        dead.append(some_leader(trial))
        dead[-1].kill()
        time.sleep(0.5)

    def start():
        member = dead[-1]
        member.start(*entry(trial, member))
        time.sleep(1.5)
    change_during(trial, kill, start)


def entry(trial, member):
    """The newcomer comes back as it came."""
    if member.number != NEWCOMER:
        return ()
    return ("--join", ",".join(other.peer for number, other in trial.cluster.members.items() if number != NEWCOMER))


def while_leaders_freeze(_, trial):
    frozen = []

    def freeze():
        frozen.append(some_leader(trial))
        frozen[-1].freeze()
        time.sleep(2.5)

    def thaw():
        frozen[-1].thaw()
        time.sleep(1.5)
    change_during(trial, freeze, thaw)


def while_leaders_are_cut_off(_, trial):
    def cut():
        leader = some_leader(trial).number
        for other in scenarios_network.others(trial, leader):
            sandbox.cut(leader, other)
        time.sleep(2.5)

    def heal():
        sandbox.heal(scenarios_network.numbers(trial))
        time.sleep(1.5)
    change_during(trial, cut, heal)


def while_a_disk_is_slow(_, trial):
    injections = []

    def slow():
        injections.append(Injection(trial, some_leader(trial), "delay_enter=400ms"))
        time.sleep(2)
    change_during(trial, slow, lambda: injections[-1].stop())


def while_links_linger(suite, trial):
    def cut():
        trial.proxy.set(delay_s=0.005, jitter_s=0.05, lingering_s=0.3)
        trial.proxy.cut([pair for pair in trial.proxy.links if suite.random.random() < 0.3])
        time.sleep(0.5)
    change_during(trial, cut, trial.proxy.clear)


while_links_linger.trial = {"prepare": scenarios_network.with_proxy, "restore": scenarios_network.without_proxy}

SCENARIOS = {
    "members": in_calm,
    "members-kill": while_leaders_die,
    "members-freeze": while_leaders_freeze,
    "members-cut": while_leaders_are_cut_off,
    "members-slow-disk": while_a_disk_is_slow,
    "members-proxy": while_links_linger,
}
