"""The recipes: holders that stand still or are cut off, and members that die under locks, counters and timers.

The verdict is what a resource says that knows the lock's tokens, never what a holder believes.
"""

import time

import sandbox
from recipe_trial import HOLDERS_NODE, HolderTrial, RecipeTrial

TTL_MS = 2000  # whole seconds: so are leases on the wire
TTL = f"{TTL_MS}ms"


def replaced(trial, first, hide, show):
    """The first holder is hidden until another one holds the lock and has written, then shown again: what it still sends is
    refused wherever tokens count."""
    token = int(first.expect("holds")[1])
    trial.check("the holder writes under its guard", first.asks("write one") == ["written"])
    trial.check("and where its token counts", first.asks("fence one") == ["written"])
    hide()
    second = trial.sdk_holder("orders", TTL_MS)
    later = int(second.expect("holds")[1])
    trial.check("the next holder's token is larger", later > token, (token, later))
    trial.check("the next holder writes", second.asks("fence two") == ["written"])
    show()
    return second


def told_and_refused(trial, first):
    trial.check("it was told that it lost the lock", first.hears() == ["lost"])
    refused_late(trial, first)


def refused_late(trial, first):
    for what in ("write", "fence"):
        heard = first.asks(f"{what} late")
        trial.check(f"its late {what} is refused", heard[0] == "refused" and heard[1] not in ("0", "unavailable"), heard)


def told_in_time(trial, first, since):
    """By its own clock, not by an answer: nobody could tell it."""
    trial.check("it is told that it lost the lock", first.hears() == ["lost"])
    seconds = first.said_at - since
    # What it renewed just before counts in full; above, the machine's load decides.
    trial.check("not before its time was out", seconds > TTL_MS / 1000 / 2, seconds)
    trial.note(f"told {seconds:.2f} s after it was cut off, with a ttl of {TTL_MS / 1000:g} s")


def still_held(trial, second):
    trial.check("the next holder still holds it", second.asks("write three") == ["written"])
    value = trial.cluster.leader().ask("/v3/kv/range", {"key": "a2VwdC9vcmRlcnM="})["kvs"][0]["value"]
    trial.check("and what it wrote stands", value == "dGhyZWU=", value)


def paused_program(_, trial):
    """A C++ program stands still past its session's time."""
    first = trial.sdk_holder("orders", TTL_MS)
    second = replaced(trial, first, first.freeze, first.thaw)
    told_and_refused(trial, first)
    still_held(trial, second)


def paused_command(_, trial):
    """`lockstep lock` and the command under it stand still."""
    first = trial.shell_holder("orders", TTL)
    second = replaced(trial, first, first.freeze, first.thaw)
    told_and_refused(trial, first)
    still_held(trial, second)


def cut_off_holder(suite, trial):
    """No packet passes between the holder and any member."""
    numbers = list(trial.cluster.members)
    kinds = [lambda: trial.sdk_holder("orders", TTL_MS, HOLDERS_NODE), lambda: trial.shell_holder("orders", TTL, HOLDERS_NODE)]
    for start in kinds[:suite.rounds]:
        first, since = start(), []

        def hide(since=since):
            since.append(time.monotonic())
            for number in numbers:
                sandbox.cut(HOLDERS_NODE, number)

        def show(first=first, since=since):
            told_in_time(trial, first, since[0])
            sandbox.heal([HOLDERS_NODE, *numbers])

        second = replaced(trial, first, hide, show)
        refused_late(trial, first)
        still_held(trial, second)
        first.end()
        second.end()


def kill_under_recipes(suite, trial):
    """Members die under locks, permits, leaders, counters, limits and timers, one after the other."""
    for _ in range(suite.recipe_kills):
        member = trial.cluster.leader() if suite.random.random() < 0.6 else suite.random.choice(trial.cluster.voters_running())
        time.sleep(suite.random.uniform(0.1, 0.6))
        trial.fault("member killed")
        member.kill()
        time.sleep(suite.random.uniform(0.2, 1.0))
        member.start()
        trial.cluster.leader()


def freeze_under_recipes(suite, trial):
    """A leader stands still past the election timeout, then goes on."""
    for _ in range(suite.rounds):
        leader = trial.cluster.leader()
        time.sleep(suite.random.uniform(0.2, 0.6))
        trial.fault("leader frozen")
        leader.freeze()
        time.sleep(suite.random.uniform(2.2, 4.0))
        leader.thaw()


def cut_under_recipes(suite, trial):
    """The leader alone on one side; clients reach both."""
    for _ in range(suite.rounds):
        leader = trial.cluster.leader().number
        trial.fault("links broken")
        for other in trial.cluster.members:
            if other != leader:
                sandbox.cut(leader, other)
        time.sleep(suite.random.uniform(2.0, 4.0))
        sandbox.heal(trial.cluster.members)
        time.sleep(suite.random.uniform(0.5, 1.5))


for scenario in (paused_program, paused_command, cut_off_holder):
    scenario.kind = HolderTrial
for scenario in (kill_under_recipes, freeze_under_recipes, cut_under_recipes):
    scenario.kind = RecipeTrial

SCENARIOS = {
    "paused-program": paused_program,
    "paused-command": paused_command,
    "cut-holder": cut_off_holder,
    "recipes-kill": kill_under_recipes,
    "recipes-freeze": freeze_under_recipes,
    "recipes-cut": cut_under_recipes,
}
SHORT = ("paused-program", "paused-command", "cut-holder", "recipes-kill")
