"""Users of the recipes: threads, each with a session and connections of its own, as many scripts would be."""

import base64
import random
import threading
import time

import recipe_models
from cluster import Failed, key_in_json
from recipe_client import Edge, Login

TTL_MS = 1500
WAIT_MS = 1500
REST_SECONDS_MAX = 60
SETTLED = 404, 409


class User(threading.Thread):
    """Works until it is told to stop. A mistake of its own is a violation, too."""

    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load, self.number = load, number
        self.random = random.Random(f"{load.seed}-{number}")
        self.edge = Edge(load.login, self.random)
        self.notes = load.notes
        self.made = 0

    def run(self):
        try:
            while not self.load.stopping.is_set():
                self.work()
        except Exception as error:  # a thread that ends in silence would look like a quiet one
            self.notes.complain(f"the load itself: {type(self).__name__}: {error!r}")
        self.edge.close()

    def work(self):
        raise NotImplementedError

    def ask(self, path, body, wait_ms=0, key=None):
        status, answer = self.edge.post(path, body, key, wait_ms)
        if status >= 500 and answer.get("code") != "outcome_unknown" and not answer.get("retryable"):
            self.notes.complain(f"{path}: {status} {answer}")
        # Refused for certain only if it says so.
        status = 0 if status >= 500 else status
        self.notes.answered(status)
        return status, answer

    def name(self, kind):
        self.made += 1
        return f"{kind}-{self.number}-{self.made}"


class Holder(User):
    """Takes a place, writes what it protects, and gives it back, or leaves it to its session's end."""

    def __init__(self, load, number, line, family, extra):
        super().__init__(load, number)
        self.line, self.family, self.extra = line, family, extra
        self.session = None
        self.believes_until = 0.0

    def open_session(self):
        asked = time.monotonic()
        status, answer = self.ask("/v1/sessions/open", {"ttl_ms": TTL_MS})
        self.session = answer["session"] if status == 200 else None
        self.believes_until = asked + TTL_MS / 1000
        if self.session is None:
            time.sleep(0.1)

    def renew(self):
        asked = time.monotonic()
        status, _ = self.ask("/v1/sessions/renew", {"session": self.session})
        if status == 200 and time.monotonic() < self.believes_until:
            self.believes_until = asked + TTL_MS / 1000
        return status

    def work(self):
        if self.session is None or self.renew() in SETTLED or time.monotonic() > self.believes_until:
            self.open_session()
        if self.session is None:
            return
        verb = "campaign" if self.family == "elections" else "acquire"
        wait_ms = WAIT_MS if self.random.random() < 0.8 else 0
        status, answer = self.ask(f"/v1/{self.family}/{verb}",
                                  {"name": self.line.name, "session": self.session, **self.extra}, wait_ms)
        if status == 200:
            self.hold(answer["token"])
        elif status == 0:
            self.session = None  # perhaps it holds something: its end brings that back
        time.sleep(self.random.uniform(0, 0.05))

    def hold(self, token):
        self.line.granted(self.session, token)
        since = time.monotonic()
        self.renew()
        for count in range(self.random.randrange(4)):
            if time.monotonic() >= self.believes_until:
                break
            self.line.fenced(self.session, token)
            if self.family != "semaphores":
                self.write(token, count)
        until = min(time.monotonic(), self.believes_until)
        self.line.believed(since, until, token)
        verb = "resign" if self.family == "elections" else "release"
        if self.random.random() < 0.1:
            self.session = None  # dies with all it has
            return
        status, _ = self.ask(f"/v1/{self.family}/{verb}", {"name": self.line.name, "session": self.session, "token": token})
        if status == 0:
            self.session = None

    def write(self, token, count):
        key = self.line.key(token, self.number * 100 + count)
        status, _ = self.ask("/v1/locks/write", {"name": self.line.name, "session": self.session, "token": token,
                                                 "put": [{"key": key, "value": str(self.number)}]})
        self.line.wrote(key, status)


class Adder(User):
    """Each add has a key, and is repeated until it is answered: it counts once."""

    def __init__(self, load, number, counter):
        super().__init__(load, number)
        self.counter = counter

    def work(self):
        key = self.name("add")
        with self.counter.guard:
            self.counter.open += 1
        for _ in range(100):
            status, answer = self.ask("/v1/counters/add", {"name": self.counter.name, "delta": 1}, key=key)
            if status == 200:
                with self.counter.guard:
                    self.counter.values.append(answer["value"])
                    self.counter.open -= 1
                return
            if answer.get("code") == "outcome_unknown":
                return  # so it will be told for as long as the answer is kept
            time.sleep(0.05)


class Taker(User):
    def __init__(self, load, number, limit):
        super().__init__(load, number)
        self.limit = limit

    def work(self):
        asked = time.monotonic()
        status, answer = self.ask("/v1/limits/take", {"name": "api", "limit": self.limit.limit,
                                                      "period_ms": int(self.limit.period_s * 1000)})
        if status == 200 and answer["allowed"]:
            with self.limit.guard:
                self.limit.allowed.append((asked, time.monotonic()))
        time.sleep(self.random.uniform(0.02, 0.1))


class Setter(User):
    def __init__(self, load, number, timer):
        super().__init__(load, number)
        self.timer = timer

    def work(self):
        name, after_s = self.name("t"), self.random.uniform(0, 1.5)
        after_ms = int(after_s * 1000)
        self.timer.setting(name, after_ms / 1000)
        status, _ = self.ask("/v1/timers/set", {"queue": "orders", "name": name, "after_ms": after_ms, "only_if_new": True})
        if status == 200:
            with self.timer.guard:
                self.timer.certain.add(name)
        time.sleep(self.random.uniform(0.05, 0.2))


class Worker(User):
    """Works timers off; goes on when the others have stopped, until all have run."""

    def __init__(self, load, number, timer):
        super().__init__(load, number)
        self.timer = timer

    def work(self):
        asked = time.monotonic()
        status, answer = self.ask("/v1/timers/claim", {"queue": "orders", "max": 8, "visibility_ms":
                                                       int(self.timer.VISIBILITY_S * 1000)}, 500)
        if status != 200:
            return
        now = time.monotonic()
        for one in answer["deliveries"]:
            self.timer.delivered(one["name"], asked, now)
        if self.random.random() < 0.05:
            return  # lost by this worker: they come again
        for one in answer["deliveries"]:
            status, said = self.ask("/v1/timers/settle", {"queue": "orders", "action": "ack", "deliveries":
                                                          [{"name": one["name"], "token": one["token"]}]})
            if status == 200 and said["settled"][0]["outcome"] == "done":
                self.timer.acknowledged(one["name"])
            elif status == 0:
                self.lost(one["name"])

    def lost(self, name):
        """Perhaps acknowledged: then it never comes again."""
        with self.timer.guard:
            self.timer.certain.discard(name)


class Load:
    def __init__(self, cluster, seed):
        self.cluster, self.seed = cluster, seed
        self.notes = recipe_models.Notes()
        self.login = Login(cluster)
        self.stopping = threading.Event()
        self.lock = recipe_models.Line(self.notes, "orders", 1)
        self.pool = recipe_models.Line(self.notes, "pool", 2)
        self.election = recipe_models.Line(self.notes, "primary", 1)
        self.counter = recipe_models.Counter(self.notes, "hits")
        self.limit = recipe_models.Limit(self.notes, 20, 2.0)
        self.timer = recipe_models.Timer(self.notes)
        numbers = iter(range(100))
        self.users = [Holder(self, next(numbers), self.lock, "locks", {}) for _ in range(3)]
        self.users += [Holder(self, next(numbers), self.pool, "semaphores", {"permits": 2}) for _ in range(4)]
        self.users += [Holder(self, next(numbers), self.election, "elections", {"value": "me"}) for _ in range(2)]
        self.users += [Adder(self, next(numbers), self.counter) for _ in range(3)]
        self.users += [Taker(self, next(numbers), self.limit) for _ in range(2)]
        self.users += [Setter(self, next(numbers), self.timer), Worker(self, next(numbers), self.timer)]

    def start(self):
        for user in self.users:
            user.start()

    def achieved(self):
        return {"locks": len(self.lock.tokens), "permits": len(self.pool.tokens), "leaders": len(self.election.tokens),
                "adds": len(self.counter.values), "takes": len(self.limit.allowed), "timers": len(self.timer.done)}

    def wait_for_progress(self):
        """After the faults each recipe does something again."""
        before = self.achieved()
        deadline = time.monotonic() + REST_SECONDS_MAX
        while any(self.achieved()[what] <= before[what] for what in before):
            if time.monotonic() > deadline:
                stuck = [what for what in before if self.achieved()[what] <= before[what]]
                self.notes.complain(f"rest: after the faults no {', '.join(stuck)} within {REST_SECONDS_MAX} s")
                return
            time.sleep(0.05)

    def finish(self):
        """The result, once all came to rest."""
        self.wait_for_progress()
        self.stopping.set()
        for user in self.users:
            user.join(REST_SECONDS_MAX)
            if user.is_alive():
                self.notes.complain(f"rest: a {type(user).__name__} never ended")
        self.drain_timers()
        seen = recipe_models.Seen(self.notes, [self.lock, self.pool, self.election], self.counter, self.limit, self.timer)
        seen.kept, seen.value = self.read_kept(), self.read_counter()
        violations = list(seen.judge())
        if not violations:
            violations = [f"the checkers did not notice: {what}" for what in seen.unnoticed()]
        return {"violations": violations, "acknowledged": self.notes.acknowledged, "unknown": self.notes.unknown,
                "refused": self.notes.refused}

    def drain_timers(self):
        worker = Worker(self, 99, self.timer)
        deadline = time.monotonic() + REST_SECONDS_MAX
        while self.timer.certain - self.timer.done and time.monotonic() < deadline:
            worker.work()

    def read_kept(self):
        answer = self.ask_leader("/v3/kv/range", {"key": key_in_json(recipe_models.KEPT), "keys_only": True,
                                                  "range_end": key_in_json(recipe_models.KEPT[:-1] + "0")})
        return [(base64.b64decode(kv["key"]).decode(), int(kv["create_revision"])) for kv in answer.get("kvs", [])]

    def read_counter(self):
        answer = self.ask_leader("/v3/kv/range", {"key": key_in_json(f"lockstep/counters/{self.counter.name}")})
        kvs = answer.get("kvs", [])
        return int(base64.b64decode(kvs[0]["value"])) if kvs else 0

    def ask_leader(self, path, body):
        deadline = time.monotonic() + REST_SECONDS_MAX
        while True:
            try:
                return self.cluster.leader().ask(path, body, 10)
            except (OSError, Failed):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
