"""Every route of /v1 with users switched on, asked by nobody, by a stranger, by whoever may only read, and by whoever may do
it. Whose permissions on which keys that takes is what docs/formats/recipes.md says; no more is given here.

usage: permissions_test.py --lockstepd PROGRAM

The last line is "N passed, N failed".
"""

import argparse
import base64
import http.client
import json
import pathlib
import sys
import tempfile
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))

import servers
from world import Asked, Tally

PASSWORD = "correct horse"
SESSIONS = "lockstep/sessions/"
# What each family's keys begin with, for the names that begin with "p".
KEYS = {
    "simple-locks": ["lockstep/simple/locks/p"],
    "locks": ["p", SESSIONS],
    "fences": ["p", "lockstep/fences/p"],
    "forced": ["p", "lockstep/audit/"],
    "elections": ["p", SESSIONS],
    "semaphores": ["lockstep/semaphores/p", SESSIONS],
    "latches": ["lockstep/latches/p"],
    "barriers": ["lockstep/barriers/p", SESSIONS],
    "counters": ["lockstep/counters/p", "lockstep/adds/p"],
    "idempotency": ["lockstep/idempotency/p"],
    "limits": ["lockstep/limits/p", "lockstep/takes/p"],
    "ids": ["lockstep/ids/p"],
    "timers": ["lockstep/timers/q/p", "lockstep/timers/sent/p", "lockstep/timers/clock"],
    "transactions": ["lockstep/tx/"],
}
NOBODYS = None  # leases belong to no key: whoever is logged in may use sessions that hold nothing


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


class Users:
    def __init__(self, asked):
        self.asked = asked
        self.tokens = {}
        self.call("auth/user/add", name="root", password=PASSWORD)
        self.call("auth/role/add", name="root")
        self.call("auth/user/grant", user="root", role="root")
        self.add("stranger", [("READWRITE", "elsewhere/")])
        for family, keys in KEYS.items():
            self.add(f"{family}-user", [("READWRITE", key) for key in keys])
            self.add(f"{family}-reader", [("READ", key) for key in keys])
        self.call("auth/enable")
        for user in ("root", "stranger", *(f"{family}-{kind}" for family in KEYS for kind in ("user", "reader"))):
            self.tokens[user] = self.call("auth/authenticate", name=user, password=PASSWORD)["token"]

    def call(self, path, **body):
        answer = self.asked.raw("POST", f"/v3/{path}", json.dumps(body), {"Authorization": self.tokens.get("root", "")})
        if answer.status != 200:
            sys.exit(f"{path} {body}: {answer}")
        return answer.json

    def add(self, user, permissions):
        self.call("auth/user/add", name=user, password=PASSWORD)
        self.call("auth/role/add", name=user)
        for kind, key in permissions:
            end = key[:-1] + chr(ord(key[-1]) + 1)
            self.call("auth/role/grant", name=user, perm={"permType": kind, "key": base64_of(key), "range_end": base64_of(end)})
        self.call("auth/user/grant", user=user, role=user)


class Walk:
    """Asks; a body may be made by root beforehand, so that only permission is what is missing."""

    def __init__(self, asked, users):
        self.asked, self.users = asked, users

    def ask(self, user, method, path, body):
        fields = {"Authorization": self.users.tokens[user]} if user else {}
        if (method, path) in STREAMS:
            return self.first_event(path, body, fields)
        answer = self.asked.ask(method, path, body, fields)
        return answer.status, answer.code

    def root(self, path, **body):
        answer = self.asked.ask("POST", path, body, {"Authorization": self.users.tokens["root"]})
        if answer.status != 200:
            sys.exit(f"{path} {body} as root: {answer}")
        return answer.json

    def first_event(self, path, query, fields):
        """Status and code, also where the refusal comes as the stream's first event."""
        connection = http.client.HTTPConnection(*self.asked.endpoint.split(":"), timeout=60)
        try:
            connection.request("GET", path + "?" + urllib.parse.urlencode(query), headers=fields)
            answer = connection.getresponse()
            self.asked.seen.add(("GET", path, answer.status))
            if answer.status != 200:
                return answer.status, json.loads(answer.read())["code"]
            event = data = None
            while line := answer.readline().decode().rstrip("\n"):
                name, _, value = line.partition(": ")
                event, data = (value if name == "event" else event), (value if name == "data" else data)
            problem = json.loads(data) if event == "problem" else {"status": 200, "code": None}
            return problem["status"], problem["code"]
        finally:
            connection.close()


def session(walk):
    return walk.root("/v1/sessions/open", ttl_ms=60000)["session"]


def held(family, verb, name, **more):
    """A holding of root's."""
    def make(walk):
        taken = walk.root(f"/v1/{family}/{verb}", name=name, ttl_ms=60000, **more)
        return {"name": name, "session": taken["session"], "token": taken["token"]}
    return make


def lock_of(name, **more):
    make = held("locks", "acquire", name)
    return lambda walk: {**make(walk), **more}


def campaign_of(name, **more):
    make = held("elections", "campaign", name)
    return lambda walk: {**make(walk), **more}


def entered(name):
    def make(walk):
        mine = walk.root("/v1/barriers/enter", name=name, parties=1, ttl_ms=60000)
        return {"name": name, "session": mine["session"], "generation": mine["generation"]}
    return make


def begun(key):
    def make(walk, **more):
        first = walk.root("/v1/idempotency/begin", key=key, fingerprint="f")
        return {"key": key, "token": first["token"], **more}
    return make


def delivered(walk):
    walk.root("/v1/timers/set", queue="pq", name="s", after_ms=0)
    one = walk.root("/v1/timers/claim", queue="pq", wait_ms=30000)["deliveries"][0]
    return {"queue": "pq", "action": "ack", "deliveries": [{"name": one["name"], "token": one["token"]}]}


def after(path, before, body):
    """Something that root does first."""
    def make(walk):
        walk.root(path, **before)
        return body
    return make


def decided(walk):
    """A transaction whose one branch is called in vain."""
    walk.root("/v1/transactions", gid="x5", mode="tcc")
    walk.root("/v1/transactions/branches", gid="x5", **BRANCH)
    walk.root("/v1/transactions/decide", gid="x5", decision="commit")
    return {"gid": "x5", "branch": "b", "by": "ann", "reason": "a test"}


def transaction(gid, **more):
    return after("/v1/transactions", {"gid": gid, "mode": "tcc"}, {"gid": gid, **more})


BRANCH = {"branch": "b", "confirm": "http://services.invalid/", "cancel": "http://services.invalid/"}
FAR = 8999999999
TIMER = {"queue": "pq", "name": "p1"}
# method, path, whose keys, what is asked
WRITES = [
    ("POST", "/v1/simple/locks", "simple-locks", {"key": "p1", "value": "v", "expire": FAR}),
    ("DELETE", "/v1/simple/locks", "simple-locks",
     after("/v1/simple/locks", {"key": "p2", "value": "v", "expire": FAR}, {"key": "p2", "value": "v"})),
    ("POST", "/v1/simple/counters", "counters", {"key": "ps", "value": 1, "expire": int(time.time()) + 3600}),
    ("POST", "/v1/locks/acquire", "locks", {"name": "pl1", "ttl_ms": 60000}),
    ("POST", "/v1/locks/acquire-all", "locks", lambda walk: {"names": ["pl2", "pl3"], "session": session(walk)}),
    ("POST", "/v1/locks/release", "locks", lock_of("pl5")),
    ("POST", "/v1/locks/write", "locks", lock_of("pl6", put=[{"key": "p-kept", "value": "1"}])),
    ("POST", "/v1/locks/write", "fences", {"resource": "pr", "token": 7, "put": [{"key": "p-kept", "value": "2"}]}),
    ("POST", "/v1/locks/force-release", "forced",
     lambda walk: {"name": "pl7", "token": lock_of("pl7")(walk)["token"], "by": "ann", "reason": "a test"}),
    ("POST", "/v1/semaphores/acquire", "semaphores", {"name": "ps1", "permits": 2, "ttl_ms": 60000}),
    ("POST", "/v1/semaphores/release", "semaphores", held("semaphores", "acquire", "ps2", permits=2)),
    ("POST", "/v1/semaphores/remove", "semaphores", {"name": "ps3"}),
    ("POST", "/v1/elections/campaign", "elections", {"name": "pe1", "value": "v", "ttl_ms": 60000}),
    ("POST", "/v1/elections/proclaim", "elections", campaign_of("pe2", value="w")),
    ("POST", "/v1/elections/resign", "elections", campaign_of("pe3")),
    ("POST", "/v1/latches/make", "latches", {"name": "pt1", "of": 1}),
    ("POST", "/v1/latches/count-down", "latches",
     after("/v1/latches/make", {"name": "pt2", "of": 2}, {"name": "pt2", "party": "a"})),
    ("POST", "/v1/latches/remove", "latches", {"name": "pt3"}),
    ("POST", "/v1/barriers/enter", "barriers", {"name": "pb1", "parties": 1, "ttl_ms": 60000}),
    ("POST", "/v1/barriers/leave", "barriers", entered("pb2")),
    ("POST", "/v1/barriers/remove", "barriers", after("/v1/barriers/enter", {"name": "pb3", "parties": 1, "ttl_ms": 60000},
                                                      {"name": "pb3"})),
    ("POST", "/v1/counters/add", "counters", {"name": "pc1"}),
    ("POST", "/v1/counters/set", "counters", {"name": "pc2", "value": 3}),
    ("POST", "/v1/counters/remove", "counters", after("/v1/counters/add", {"name": "pc3"}, {"name": "pc3"})),
    ("POST", "/v1/ids/next", "ids", {"name": "pi"}),
    ("POST", "/v1/idempotency/begin", "idempotency", {"key": "pk1", "fingerprint": "f"}),
    ("POST", "/v1/idempotency/complete", "idempotency", lambda walk: begun("pk2")(walk, answer="a", keep_ms=60000)),
    ("POST", "/v1/idempotency/abandon", "idempotency", begun("pk3")),
    ("POST", "/v1/limits/take", "limits", {"name": "pl", "limit": 5, "period_ms": 3600000}),
    ("POST", "/v1/limits/reset", "limits", after("/v1/limits/take", {"name": "pm", "limit": 5, "period_ms": 3600000},
                                                 {"name": "pm"})),
    ("POST", "/v1/timers/set", "timers", {**TIMER, "after_ms": 3600000}),
    ("POST", "/v1/timers/claim", "timers", after("/v1/timers/set", {"queue": "pz", "name": "z", "after_ms": 0},
                                                 {"queue": "pz", "wait_ms": 30000})),
    ("POST", "/v1/timers/settle", "timers", delivered),
    ("POST", "/v1/timers/cancel", "timers", after("/v1/timers/set", {"queue": "pq", "name": "c", "after_ms": 3600000},
                                                  {"queue": "pq", "name": "c"})),
    ("POST", "/v1/timers/revive", "timers", TIMER),
    ("POST", "/v1/timers/drop-dead", "timers", TIMER),
    ("POST", "/v1/transactions", "transactions", {"gid": "x1", "mode": "tcc"}),
    ("POST", "/v1/transactions/branches", "transactions", transaction("x2", **BRANCH)),
    ("POST", "/v1/transactions/decide", "transactions", transaction("x3", decision="commit")),
    ("POST", "/v1/transactions/retry", "transactions", transaction("x4", by="ann", reason="a test")),
    ("POST", "/v1/transactions/skip", "transactions", decided),
    ("POST", "/v1/transactions/finish", "transactions", transaction("x6", by="ann", reason="a test")),
]
READS = [
    ("POST", "/v1/locks/renew", "locks", lock_of("pl4")),
    ("GET", "/v1/simple/counters", "counters", {"key": "ps"}),
    ("GET", "/v1/locks/show", "locks", {"name": "pl1"}),
    ("GET", "/v1/locks/list", "locks", {"prefix": "p"}),
    ("GET", "/v1/locks/watch", "locks", {"name": "pl1"}),
    ("GET", "/v1/semaphores/show", "semaphores", {"name": "ps1"}),
    ("GET", "/v1/elections/leader", "elections", {"name": "pe1"}),
    ("GET", "/v1/elections/observe", "elections", {"name": "pe1"}),
    ("GET", "/v1/latches/show", "latches", {"name": "pt2"}),
    ("POST", "/v1/latches/await", "latches", after("/v1/latches/count-down", {"name": "pt2", "party": "b"}, {"name": "pt2"})),
    ("GET", "/v1/barriers/show", "barriers", {"name": "pb1"}),
    ("GET", "/v1/counters/show", "counters", {"name": "pc1"}),
    ("GET", "/v1/counters/watch", "counters", {"name": "pc1"}),
    ("GET", "/v1/timers/show", "timers", TIMER),
    ("GET", "/v1/timers/list", "timers", {"queue": "pq"}),
    ("GET", "/v1/timers/dead", "timers", {"queue": "pq"}),
    ("GET", "/v1/transactions", "transactions", {}),
    ("GET", "/v1/transactions/show", "transactions", {"gid": "x1"}),
    ("GET", "/v1/transactions/{gid}", "transactions", {"gid": "x1"}),
    ("GET", "/v1/transactions/wait", "transactions", {"gid": "x1"}),
    ("GET", "/v1/transactions/watch", "transactions", {"gid": "x1"}),
    ("GET", "/v1/transactions/definition", "transactions", {"gid": "x1"}),
]
OF_SESSIONS = [
    ("POST", "/v1/sessions/open", NOBODYS, {"ttl_ms": 60000}),
    ("POST", "/v1/sessions/renew", NOBODYS, lambda walk: {"session": session(walk)}),
    ("POST", "/v1/sessions/close", NOBODYS, lambda walk: {"session": session(walk)}),
    ("GET", "/v1/sessions/show", NOBODYS, lambda walk: {"session": session(walk)}),
    ("GET", "/v1/sessions/watch", NOBODYS, lambda walk: {"session": session(walk)}),
]
STREAMS = {("GET", path) for path in ("/v1/locks/watch", "/v1/elections/observe", "/v1/counters/watch", "/v1/sessions/watch",
                                    "/v1/transactions/watch")}
# Routes of which this table says nothing.
OF_OTHERS = ("/v1/topics/", "/v1/transactions/new-gid", "/v1/transactions/forward", "/v1/transactions/compensate")
# What was asked may be refused for other reasons: then permission was not the reason.
NOT_ASKED_FOR = {"/v1/timers/revive": 404, "/v1/timers/drop-dead": 404}


def walk_routes(walk, tally):
    def refused(user, what, request, status, code):
        got = walk.ask(user, *request)
        tally.check(f"{request[0]} {request[1]} by {user or 'nobody'} ({what})", got == (status, code), f"{got}, not {status} {code}")

    for method, path, family, given in (*WRITES, *READS, *OF_SESSIONS):
        body = given(walk) if callable(given) else given
        request = (method, path, body)
        refused(None, "no login", request, 401, "unauthenticated")
        if family is NOBODYS:
            got = walk.ask("stranger", *request)
            tally.check(f"{method} {path} by whoever is logged in", got[0] == 200, got)
            continue
        refused("stranger", "other keys", request, 403, "permission_denied")
        if (method, path, family, given) in WRITES:
            # What does not exist is looked for first.
            nothing = path == "/v1/timers/revive"
            refused(f"{family}-reader", "reads only", request, *((404, "timer_not_found") if nothing else (403, "permission_denied")))
        else:
            got = walk.ask(f"{family}-reader", *request)
            tally.check(f"{method} {path} by {family}-reader", got[0] == NOT_ASKED_FOR.get(path, 200), got)
        got = walk.ask(f"{family}-user", *request)
        tally.check(f"{method} {path} by {family}-user", got[0] == NOT_ASKED_FOR.get(path, 200), got)


def sessions_that_hold(walk, tally):
    """Closing a session takes away what it holds: that takes the right to write it."""
    mine = lock_of("px")(walk)
    got = walk.ask("stranger", "POST", "/v1/sessions/close", {"session": mine["session"]})
    tally.check("a stranger does not close a session that holds a lock", got == (403, "permission_denied"), got)
    got = walk.ask("locks-user", "POST", "/v1/sessions/close", {"session": mine["session"]})
    tally.check("whoever may write the lock does", got[0] == 200, got)


def idempotency_keys(asked, users, tally):
    """Who sends an Idempotency-Key needs the right to keep the answer; and nobody hears another one's."""
    def add(user):
        return asked.ask("POST", "/v1/counters/add", {"name": "pn"},
                         {"Authorization": users.tokens[user], "Idempotency-Key": "k"})
    refused = add("counters-user")
    tally.check("without the right to keep answers", (refused.status, refused.code) == (403, "permission_denied"), refused)
    users.call("auth/role/grant", name="counters-user",
               perm={"permType": "READWRITE", "key": base64_of("lockstep/http-answers/counters-user/"),
                     "range_end": base64_of("lockstep/http-answers/counters-user0")})
    first, again, roots = add("counters-user"), add("counters-user"), add("root")
    tally.check("with it, once", [first["value"], again["value"]] == [1, 1], (first, again))
    tally.check("another user's key is another one", roots["value"] == 2, roots)


def tokens_of_nobody(asked, tally):
    for token in ("x", "Bearer x", "x.17", "." * 5000):
        answer = asked.raw("GET", "/v1/counters/show?name=pc1", None, {"Authorization": token})
        tally.check(f"the token {token[:10]}", (answer.status, answer.code) in ((401, "unauthenticated"), (431, None)), answer)
    tally.check("the document is for everybody", asked.raw("GET", "/v1/openapi.json").status == 200)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    given = arguments.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        server = servers.lockstepd(given.lockstepd, folder)
        try:
            asked = Asked(server.endpoint, tally)
            users = Users(asked)
            walk = Walk(asked, users)
            walk_routes(walk, tally)
            sessions_that_hold(walk, tally)
            idempotency_keys(asked, users, tally)
            tokens_of_nobody(asked, tally)
            walked = {request[:2] for request in (*WRITES, *READS, *OF_SESSIONS)} | {("GET", "/v1/openapi.json")}
            for operation in asked.document.operations():
                tally.check(f"{operation} was walked", operation in walked or operation[1].startswith(OF_OTHERS))
        finally:
            ended = server.stop()
        tally.check("the server ends well", ended == 0, f"{ended}\n{server.printed()}")
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
