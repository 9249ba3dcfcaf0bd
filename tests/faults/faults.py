"""The fault suite: real lockstepd processes, real faults, and the simulator's checkers over what clients saw.

usage: faults.py --lockstepd PROGRAM --workload PROGRAM --client PROGRAM --holder PROGRAM [--short|--long]
                 [--only NAME[,NAME]] [--seed N] [--keep]

A scenario starts a cluster with TLS and authentication, puts it under load, breaks something, lets all come to rest and
judges the history. The last line is "N passed, N failed".
"""

import argparse
import os
import pathlib
import random
import shutil
import statistics
import sys
import tempfile
import time
import traceback

import cluster
import sandbox
import scenarios_disk
import scenarios_members
import scenarios_network
import scenarios_planted
import scenarios_process
import scenarios_recipes
from cluster import Failed
from trial import Trial

MEMBERS_MAX = 4
CYCLES_EACH = 20  # of kill -9 in one history

SCENARIOS = {**scenarios_planted.SCENARIOS, **scenarios_process.SCENARIOS,
             **scenarios_network.SCENARIOS, **scenarios_disk.SCENARIOS, **scenarios_members.SCENARIOS,
             **scenarios_recipes.SCENARIOS}
SHORT = ("planted-histories", "planted-rollback", "kill-leader", "kill-all", "freeze-leader", "cut-leader", "sync-error",
         *scenarios_recipes.SHORT)


class Suite:
    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.program = options.lockstepd
        self.workload = options.workload
        self.client = options.client
        self.holder = options.holder
        self.random = random.Random(options.seed)
        self.cycles = CYCLES_EACH
        self.freezes = 2 if options.short else 20
        self.recipe_kills = 3 if options.short else 40 if options.long else 12
        self.here = pathlib.Path(__file__).resolve().parent
        self.rounds = 1 if options.short else 3
        self.passed = self.failed = 0
        self.lacking = set()
        self.gaps = {}

    def next_seed(self):
        return self.random.randrange(1, 1 << 32)

    def check_machine(self):
        """False: something is required and not there."""
        good = True
        for name, required, there in sandbox.capabilities(self.folder):
            say(f"  {'there  ' if there else 'MISSING'}  {'required' if required else 'optional'}  {name}")
            good = good and (there or not required)
            if not there:
                self.lacking.add(name)
        return good

    def run(self, name, function):
        began = time.monotonic()
        problems, facts = [], ""
        arguments = getattr(function, "trial", {})
        lacking = self.lacking.intersection(getattr(function, "needs", ()))
        if lacking:
            say(f"skipped {name}: the machine lacks {', '.join(lacking)}")
            return
        trial = None
        try:
            with getattr(function, "kind", Trial)(self, name, **arguments) as trial:
                function(self, trial)
                if trial.result is None:
                    trial.finish()
            problems = trial.problems(getattr(function, "expects", None))
            facts = trial.describe()
            if trial.measures:
                gaps = trial.gaps(trial.measures)
                self.gaps.setdefault(trial.measures, []).extend(gaps)
                trial.note("gaps in writes: " + " ".join(f"{gap:.2f}" for gap in gaps))
        except (Failed, OSError) as error:
            problems = [str(error)]
        except Exception:  # one scenario's own mistake must not hide the others
            problems = [traceback.format_exc()]
        seconds = time.monotonic() - began
        say(f"{'FAILED' if problems else 'ok    '} {name:24} {seconds:5.1f} s  {facts}")
        for note in trial.notes if trial is not None else ():
            say(f"         ({note})")
        for problem in problems[:8]:
            say(f"         {problem}")
        self.passed += not problems
        self.failed += bool(problems)
        if not problems and trial is not None and not self.options.keep:
            trial.discard()

    def report_gaps(self):
        for what, gaps in self.gaps.items():
            if gaps:
                say(f"gap in writes, {what} {len(gaps)} times: p50 {statistics.median(gaps):.3f} s, "
                    f"worst {max(gaps):.3f} s")


def say(line):
    print(line, flush=True)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lockstepd", required=True)
    parser.add_argument("--workload", required=True)
    parser.add_argument("--client", required=True, help="the program lockstep")
    parser.add_argument("--holder", required=True, help="the program fault-holder")
    parser.add_argument("--short", action="store_true", help="what every CI run has time for")
    parser.add_argument("--long", action="store_true", help="200 kills of the leader, 40 under the recipes")
    parser.add_argument("--only", default="", help="names of scenarios, with commas between them")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "little"))
    parser.add_argument("--keep", action="store_true", help="keep folders and logs of what passed")
    parser.add_argument("--folder", default=".", help="where to make a folder for it, on a real disk")
    return parser.parse_args()


def chosen(options):
    if options.only:
        return options.only.split(",")
    return SHORT if options.short else list(SCENARIOS)


def main():
    options = parse()
    sandbox.enter()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="faults-", dir=options.folder)).resolve()
    say(f"seed {options.seed}, folder {folder}")
    suite = Suite(options, folder)
    sandbox.build_network(range(1, MEMBERS_MAX + 1))
    if not suite.check_machine():
        sys.exit("error: the machine lacks what is required, see above")
    cluster.make_certificates(suite.program, folder, MEMBERS_MAX)
    for name in chosen(options):
        if name not in SCENARIOS:
            sys.exit(f"error: no scenario '{name}'; there are {', '.join(SCENARIOS)}")
        rounds = 10 if options.long and name == "kill-leader" else 1
        for number in range(rounds):
            suite.run(name if rounds == 1 else f"{name}-{number + 1}", SCENARIOS[name])
    suite.report_gaps()
    if suite.failed == 0 and not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    say(f"{suite.passed} passed, {suite.failed} failed")
    sys.exit(1 if suite.failed or not suite.passed else 0)


if __name__ == "__main__":
    main()
