"""What is wrong on purpose: the suite must say so, or it proves nothing."""

import time

from cluster import copy_folder


def prove_checkers(_, trial):
    """The history of a calm run is right; changed in any of the known ways, it is found to be wrong."""
    time.sleep(2)


def roll_back_all(_, trial):
    """All members go back to older directories: acknowledged writes are lost, and no member can know."""
    time.sleep(1)
    members = list(trial.cluster.members.values())
    everywhere(members, lambda member: member.kill())
    for member in members:
        copy_folder(member.data, trial.folder / f"{member.name}.old")
    restart(trial, members)
    time.sleep(1.5)
    everywhere(members, lambda member: member.kill())
    for member in members:
        copy_folder(trial.folder / f"{member.name}.old", member.data)
    restart(trial, members)
    time.sleep(1)


def everywhere(members, act):
    for member in members:
        act(member)


def restart(trial, members):
    everywhere(members, lambda member: member.start())
    trial.cluster.leader()


prove_checkers.trial = {"prove": True}
roll_back_all.expects = ("no replica has its revision", "tells another history", "answered with one revision")

SCENARIOS = {
    "planted-histories": prove_checkers,
    "planted-rollback": roll_back_all,
}
