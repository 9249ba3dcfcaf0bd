"""One scenario's cluster, its load, the faults' times, and what the checkers say at the end."""

import bisect
import json
import shutil
import subprocess
import time

import sandbox
from cluster import Cluster, Failed

ACKNOWLEDGED_MIN = 200


class Trial:
    """Used in a `with`: the cluster serves and is under load inside; nothing of it is left behind."""

    def __init__(self, suite, name, members=3, prepare=None, restore=None, prove=False):
        self.suite = suite
        self.name = name
        self.folder = suite.folder / name
        self.folder.mkdir()
        self.cluster = Cluster(suite.program, self.folder, members)
        self.prepare, self.restore = prepare, restore
        self.prove = prove
        self.faults = []  # (time in ns, what)
        self.notes = []
        self.measures = None  # the kind of fault whose gaps in writes are a figure
        self.workload = None
        self.result = None
        self.healed = False
        self.proxy = None
        self.finished_ns = 0

    def __enter__(self):
        try:
            if self.prepare:
                self.prepare(self)
            self.cluster.start()
            self.cluster.leader()
            self.start_workload()
        except BaseException:
            self.clean_up()
            raise
        return self

    def __exit__(self, *_):
        self.clean_up()

    def clean_up(self):
        if self.workload is not None and self.workload.poll() is None:
            self.workload.kill()
            self.workload.wait()
        self.cluster.stop()
        sandbox.heal(self.cluster.members)
        if self.restore is not None:
            self.restore(self)

    def start_workload(self):
        certificates = self.cluster.certificates
        command = [self.suite.workload, "--endpoints", ",".join(self.cluster.endpoints),
                   "--ca", certificates / "ca.crt", "--user", "root",
                   "--password-file", certificates / "root.password", "--seed", self.suite.next_seed(),
                   "--acknowledged", self.folder / "acknowledged", "--history", self.folder / "history"]
        if self.prove:
            command += ["--prove", "yes"]
        errors = open(self.folder / "workload.log", "wb")
        self.workload = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=errors, text=True)
        errors.close()
        line = self.workload.stdout.readline()
        if line.strip() != "ready":
            raise Failed(f"the load client did not come up: {line!r} {self.workload_log()}")

    def workload_log(self):
        return (self.folder / "workload.log").read_text(errors="replace")[-2000:]

    def tell(self, line):
        try:
            self.workload.stdin.write(line + "\n")
            self.workload.stdin.flush()
        except BrokenPipeError as error:
            raise Failed(f"the load client is gone: {self.workload_log()}") from error

    def fault(self, what):
        self.faults.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME), what))

    def note(self, what):
        """Something that a reader of the result would like to know."""
        self.notes.append(what)

    def heal(self):
        self.healed = True
        self.tell("healed")

    def finish(self, members=None):
        """Lets all come to rest, has the history judged and keeps the result."""
        if not self.healed:
            self.heal()
        self.finished_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        members = members or list(self.cluster.members.values())
        self.tell("finish " + ",".join(member.client for member in members))
        line = self.workload.stdout.readline()
        self.workload.wait(60)
        if not line.startswith("{"):
            raise Failed(f"the load client gave no result: status {self.workload.returncode}, {self.workload_log()}")
        self.result = json.loads(line)
        self.result["violations"] += self.cluster.complaints()
        self.result["violations"] += [f"the checkers did not notice: {what}" for what in self.result["unnoticed"]]
        return self.result

    def gaps(self, what=None):
        """For each fault the longest time without an acknowledged put, in seconds, until the next fault."""
        returned = sorted(int(line.split()[1]) for line in open(self.folder / "acknowledged"))
        gaps = []
        times = [at for at, _ in self.faults] + [self.finished_ns]
        for index, (at, kind) in enumerate(self.faults):
            if what is not None and kind != what:
                continue
            first = max(0, bisect.bisect_left(returned, at) - 1)
            last = bisect.bisect_right(returned, times[index + 1])
            around = returned[first:last + 1]
            gaps.append(max((b - a for a, b in zip(around, around[1:])), default=0) / 1e9)
        return gaps

    def problems(self, expects):
        """What is wrong. `expects`: words of which some violation must contain one, where one was planted."""
        violations = self.result["violations"]
        if expects is None:
            if self.result["acknowledged"] < ACKNOWLEDGED_MIN:
                violations = [*violations, f"only {self.result['acknowledged']} operations were acknowledged"]
            return violations
        if any(words in violation for violation in violations for words in expects):
            return []
        return [f"the checkers did not notice what was planted; they said {violations[:3]}"]

    def describe(self):
        result = self.result
        return (f"{result['acknowledged']} acknowledged, {result['unknown']} unknown "
                f"({result['unknown_that_happened']} happened), {result['refused']} refused, "
                f"{result['revisions']} revisions, {result['watch_events']} events; "
                f"{len(result['violations'])} violations")

    def discard(self):
        shutil.rmtree(self.folder, ignore_errors=True)
