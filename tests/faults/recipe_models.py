"""What must be true of locks, permits, leaderships, counters, limits and timers, judged at what they protect.

belief     whoever was granted a place believes in it until the time of its session is out by its own clock, counted from
           when the last renewal was sent, or until it gives the place back: never more at once than may be
token      no two holdings have the same one
fence      a resource outside the store that remembers the largest token is used with each token by one holding only
kept       what holders wrote under their guard stands in the store in the order of their tokens; what was acknowledged
           is there, what was refused is not
counter    each add is told a value of its own, and the counter says the sum
limit      in no stretch of time more was allowed than the rule allows
timer      no run early, none while another one's time is not out, none acknowledged twice, all in the end
"""

import copy
import threading
import time

KEPT = "kept/"


class Noted:
    """Noted from many threads; a copy is for one."""

    def __init__(self):
        self.guard = threading.Lock()

    def __deepcopy__(self, known):
        twin = copy.copy(self)
        known[id(self)] = twin
        for name, value in vars(self).items():
            setattr(twin, name, threading.Lock() if name == "guard" else copy.deepcopy(value, known))
        return twin


class Notes(Noted):
    """What all models note into; `violations` is the verdict."""

    def __init__(self):
        super().__init__()
        self.violations = []
        self.acknowledged = self.unknown = self.refused = 0

    def complain(self, text):
        with self.guard:
            if len(self.violations) < 50:
                self.violations.append(text)

    def answered(self, status):
        with self.guard:
            self.acknowledged += status == 200
            self.unknown += status == 0
            self.refused += status not in (0, 200)


class Line(Noted):
    """A lock, a semaphore or an election."""

    def __init__(self, notes, name, places):
        super().__init__()
        self.notes, self.name, self.places = notes, name, places
        self.beliefs = []  # (from, to, token)
        self.tokens = {}  # who was granted it
        self.fence_highest = 0
        self.fence_refused = 0
        self.writes = {}  # key: acknowledged, refused or unknown

    def granted(self, session, token):
        with self.guard:
            if self.tokens.setdefault(token, session) != session:
                self.notes.complain(f"token: {self.name}: {token} was given to {self.tokens[token]} and to {session}")

    def believed(self, since, until, token):
        with self.guard:
            self.beliefs.append((since, until, token))

    def fenced(self, session, token):
        """The resource outside: False if it refuses."""
        with self.guard:
            if token < self.fence_highest:
                self.fence_refused += 1
                return False
            self.fence_highest = token
            return self.tokens.get(token) == session

    def key(self, token, count):
        return f"{KEPT}{self.name}/{token:019}/{count:04}"

    def wrote(self, key, status):
        with self.guard:
            self.writes[key] = {0: "unknown", 200: "acknowledged"}.get(status, "refused" if status in (403, 409) else "unknown")

    def judge(self, kept):
        """`kept`: (key, revision of its creation) of what the store has."""
        beliefs = [belief for belief in self.beliefs if belief[0] < belief[1]]
        ends = sorted([(since, 1, token) for since, _, token in beliefs] + [(until, 0, token) for _, until, token in beliefs])
        holding = set()
        for _, begins, token in ends:
            if not begins:
                holding.discard(token)
                continue
            holding.add(token)
            if len(holding) > self.places:
                self.notes.complain(f"belief: {self.name}: {sorted(holding)} held at once, of {self.places}")
        mine = sorted((revision, key) for key, revision in kept if key.startswith(f"{KEPT}{self.name}/"))
        there = {key for _, key in mine}
        if self.places == 1:
            tokens = [key.split("/")[-2] for _, key in mine]
            if tokens != sorted(tokens):
                self.notes.complain(f"kept: {self.name}: a write of an older token behind one of a newer")
        for key, outcome in self.writes.items():
            if outcome == "acknowledged" and key not in there:
                self.notes.complain(f"kept: {key} was acknowledged and is not there")
            if outcome == "refused" and key in there:
                self.notes.complain(f"kept: {key} was refused and is there")


class Counter(Noted):
    def __init__(self, notes, name):
        super().__init__()
        self.notes, self.name = notes, name
        self.values = []
        self.open = 0  # of which nobody knows

    def judge(self, value):
        if len(set(self.values)) != len(self.values):
            self.notes.complain(f"counter: {self.name}: a value was told twice")
        if not len(self.values) <= value <= len(self.values) + self.open:
            self.notes.complain(f"counter: {self.name} says {value}; {len(self.values)} adds were acknowledged, "
                                f"{self.open} are unknown")


class Limit(Noted):
    """A token bucket."""

    def __init__(self, notes, limit, period_s):
        super().__init__()
        self.notes, self.limit, self.period_s = notes, limit, period_s
        self.allowed = []  # (asked, answered)

    def judge(self):
        takes = sorted(self.allowed)
        for first, (asked, _) in enumerate(takes):
            for last in range(first, len(takes)):
                count = last - first + 1
                most = self.limit + self.limit / self.period_s * (max(answered for _, answered in takes[first:last + 1]) - asked)
                if count > most + 1e-6:
                    self.notes.complain(f"limit: {count} were allowed where {most:.2f} may be")
                    return


class Timer(Noted):
    VISIBILITY_S = 1.5

    def __init__(self, notes):
        super().__init__()
        self.notes = notes
        self.not_before = {}  # by name, by our clock
        self.certain = set()
        self.theirs_until = {}  # by name: until when whoever it was delivered to has it at least
        self.done = set()

    def setting(self, name, after_s):
        with self.guard:
            self.not_before[name] = time.monotonic() + after_s

    def delivered(self, name, asked, now):
        with self.guard:
            if now < self.not_before[name]:
                self.notes.complain(f"timer: {name} came {self.not_before[name] - now:.3f} s early")
            if now < self.theirs_until.get(name, 0):
                self.notes.complain(f"timer: {name} came to somebody else while it had {self.theirs_until[name] - now:.3f} s")
            if name in self.done:
                self.notes.complain(f"timer: {name} came again after it was acknowledged")
            self.theirs_until[name] = asked + self.VISIBILITY_S

    def acknowledged(self, name):
        with self.guard:
            if name in self.done:
                self.notes.complain(f"timer: {name} was acknowledged twice")
            self.done.add(name)

    def judge(self):
        lost = self.certain - self.done
        if lost:
            self.notes.complain(f"timer: {len(lost)} never came, or never to their end: {sorted(lost)[:3]}")


class Seen:
    """All that was noted, and what the store says in the end."""

    def __init__(self, notes, lines, counter, limit, timer):
        self.notes, self.lines, self.counter, self.limit, self.timer = notes, lines, counter, limit, timer
        self.kept, self.value = [], 0

    def judge(self):
        for line in self.lines:
            line.judge(self.kept)
        self.counter.judge(self.value)
        self.limit.judge()
        self.timer.judge()
        return self.notes.violations

    def unnoticed(self):
        """What was changed in copies of a good history and not called wrong."""
        missed = []
        for what, change in CHANGES.items():
            twin = copy.deepcopy(self)
            change(twin)
            if not any(violation.startswith(what) for violation in twin.judge()):
                missed.append(f"{what}: {change.__doc__}")
        return missed


def both_hold(seen):
    """somebody believed to hold it while another one did"""
    since, until, token = next(belief for belief in seen.lines[0].beliefs if belief[0] < belief[1])
    seen.lines[0].beliefs.append((since, until, token + 1))


def token_again(seen):
    """one token for two"""
    seen.lines[0].granted("somebody else", next(iter(seen.lines[0].tokens)))


def write_lost(seen):
    """an acknowledged write is gone"""
    gone = next(key for line in seen.lines for key, outcome in line.writes.items() if outcome == "acknowledged")
    seen.kept = [(key, revision) for key, revision in seen.kept if key != gone]


def added_twice(seen):
    """an add counted twice"""
    seen.value += 1 + seen.counter.open


def bucket_filled_twice(seen):
    """twice as much as a full bucket at one time"""
    seen.limit.allowed += [(0.0, 0.0)] * (2 * seen.limit.limit)


def timer_lost(seen):
    """a timer that was set and never ran"""
    seen.timer.certain.add("never")


# By the word with which the violation begins.
CHANGES = {"belief": both_hold, "token": token_again, "kept": write_lost, "counter": added_twice, "limit": bucket_filled_twice,
           "timer": timer_lost}
