"""A cluster under the recipes, and holders: processes of their own that hold a lock and can be stopped or cut off."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time

import recipe_load
import sandbox
from cluster import Failed
from trial import Trial

HOLDERS_NODE = 4  # its network namespace belongs to no member of three
ANSWER_SECONDS_MAX = 40


class Holder:
    """A program that takes a lock, says so, and then does as it is told; what it says is read line by line."""

    def __init__(self, trial, command, node=None):
        within = sandbox.within(node) if node else []
        errors = open(trial.folder / "holders.log", "ab")
        self.process = subprocess.Popen([str(word) for word in (*within, *command)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True)
        errors.close()
        self.said = queue.Queue()
        self.said_at = 0.0  # when it said what was heard last
        threading.Thread(target=self.read, daemon=True).start()
        trial.holders.append(self)

    def read(self):
        for line in self.process.stdout:
            self.said.put((time.monotonic(), line.split()))
        self.said.put((time.monotonic(), ["end"]))

    def hears(self, seconds=ANSWER_SECONDS_MAX):
        """Its next line; what it says of itself at the end is "end"."""
        try:
            self.said_at, words = self.said.get(timeout=seconds)
            return words
        except queue.Empty as empty:
            raise Failed(f"a holder said nothing for {seconds} s") from empty

    def expect(self, word):
        heard = self.hears()
        if heard[0] != word:
            raise Failed(f"a holder said '{' '.join(heard)}', not '{word}'")
        return heard

    def tell(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def asks(self, line):
        self.tell(line)
        return self.hears()

    def freeze(self):
        os.killpg(self.process.pid, signal.SIGSTOP)

    def thaw(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def end(self):
        try:
            self.thaw()
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class HolderTrial(Trial):
    """A cluster without load: what counts is what happens to the holders."""

    def __init__(self, suite, name):
        super().__init__(suite, name)
        self.holders = []
        self.checks = 0
        self.wrong = []

    def start_workload(self):
        pass

    def clean_up(self):
        for holder in self.holders:
            holder.end()
        super().clean_up()
        sandbox.heal([HOLDERS_NODE])

    def check(self, what, holds, seen=""):
        self.checks += 1
        if not holds:
            self.wrong.append(f"{what}: {seen}")

    def finish(self, members=None):
        self.result = {"violations": self.wrong + self.cluster.complaints(), "acknowledged": self.checks}
        return self.result

    def problems(self, expects):
        return self.result["violations"] or ([] if self.checks else ["nothing was checked"])

    def describe(self):
        return f"{self.checks} checks"

    def _entrance(self):
        certificates = self.cluster.certificates
        return ["--user", "root", "--password-file", certificates / "root.password"], certificates / "ca.crt"

    def sdk_holder(self, lock, ttl_ms, node=None):
        """A C++ program: `write VALUE` under its guard, `fence VALUE` with its token alone; says when it is lost."""
        login, authority = self._entrance()
        return Holder(self, [self.suite.holder, "--endpoints", ",".join(self.cluster.endpoints), "--ca", authority, *login,
                             "--lock", lock, "--ttl-ms", ttl_ms], node)

    def shell_holder(self, lock, ttl, node=None):
        """`lockstep lock` around a script that writes the same two ways."""
        login, authority = self._entrance()
        client = [self.suite.client, "--endpoints", ",".join(self.cluster.endpoints), "--cacert", authority, *login]
        script = [sys.executable, str(self.suite.here / "lock_holder.py"), self.cluster.certificates,
                  ",".join(member.host for member in self.cluster.members.values())]
        return Holder(self, [*client, "lock", lock, "--ttl", ttl, "--grace", "20s", "--", *script], node)


class RecipeTrial(Trial):
    """All recipes under load while members are killed."""

    def __init__(self, suite, name, members=3):
        super().__init__(suite, name, members)
        self.load = None

    def start_workload(self):
        self.load = recipe_load.Load(self.cluster, self.suite.next_seed())
        self.load.start()

    def clean_up(self):
        if self.load is not None:
            self.load.stopping.set()
        super().clean_up()

    def heal(self):
        self.healed = True

    def finish(self, members=None):
        self.finished_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.result = self.load.finish()
        self.result["violations"] += self.cluster.complaints()
        return self.result

    def describe(self):
        achieved = ", ".join(f"{count} {what}" for what, count in self.load.achieved().items())
        return (f"{achieved}; {self.result['unknown']} of {self.result['unknown'] + self.result['acknowledged']} calls unknown; "
                f"{len(self.result['violations'])} violations")
