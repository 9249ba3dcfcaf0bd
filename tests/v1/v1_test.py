"""/v1 of a real lockstepd, as a script in any language would use it. Every answer is checked against the server's own
document, and at the end every route of the document must have been asked.

usage: v1_test.py --lockstepd PROGRAM [--store own|etcd]

With --store etcd the server keeps nothing and stands on a real etcd.

The last line is "N passed, N failed".
"""

import argparse
import base64
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))

import servers
from transactions import transactions
from world import Asked, Events, Tally, in_thread


def simple_locks(asked):
    end = int(time.time()) + 60
    path = "/v1/simple/locks"
    first = asked.post(path, key="orders", value="a", expire=end)
    asked.expect("a simple lock is taken", first, 200, key="orders", expire=end)
    asked.expect("another waits for nothing", asked.post(path, key="orders", value="b", expire=end), 409, "lock_held")
    asked.expect("only its value releases it", asked.delete(path, key="orders", value="b"), 409, "not_holder")
    asked.expect("its value does", asked.delete(path, key="orders", value="a"), 200)
    asked.expect("only once", asked.delete(path, key="orders", value="a"), 409, "not_holder")
    second = asked.post(path, key="orders", value="b", expire=end)
    asked.expect("the next holder", second, 200)
    asked.tally.check("has a larger token", second["token"] > first["token"], (first, second))
    asked.expect("a past end", asked.post(path, key="x", value="b", expire=1), 400, "invalid_request", pointer="/expire")


def locks(asked):
    held = asked.post("/v1/locks/acquire", name="orders", ttl_ms=20000, holder="me", reason="a test")
    asked.expect("a lock is taken, with a session made on the way", held, 200, name="orders", mode="exclusive", count=1)
    asked.expect("nobody else has it", asked.post("/v1/locks/acquire", name="orders"), 409, "lock_held")
    mine = {"name": "orders", "session": held["session"], "token": held["token"]}
    renewed = asked.post("/v1/locks/renew", **mine)
    asked.expect("it is renewed", renewed, 200)
    asked.tally.check("for its whole time", renewed["expires_in_ms"] > 10000, renewed)
    waiting = in_thread(asked.post, "/v1/locks/acquire", name="orders", wait_ms=30000)
    brief = asked.post("/v1/locks/acquire", name="orders", wait_ms=50)
    asked.expect("who waits too short a time has nothing", brief, 409, "lock_held")
    wrong = {**mine, "token": held["token"] + 1}
    asked.expect("a wrong token", asked.post("/v1/locks/release", **wrong), 409, "stale_token")
    asked.expect("it is released", asked.post("/v1/locks/release", close_session=True, **mine), 200, count=0)
    asked.expect("once", asked.post("/v1/locks/release", **mine), 409, "not_holder")
    second = waiting()
    asked.expect("who waited has it", second, 200)
    asked.tally.check("with a larger token", second["token"] > held["token"], (held, second))
    again = asked.post("/v1/locks/acquire", name="orders", session=second["session"], reentrant=True)
    asked.expect("held twice", again, 200, count=2, token=second["token"])
    inner = {"name": "orders", "session": second["session"], "token": second["token"], "count": 2}
    asked.expect("given back one time", asked.post("/v1/locks/release", **inner), 200, count=1)
    asked.expect("the same, repeated, counts once", asked.post("/v1/locks/release", **inner), 200, count=1)
    asked.expect("not that often", asked.post("/v1/locks/release", **{**inner, "count": 7}), 409, "lock_count_differs")
    for bad in ({"ttl_ms": 0}, {"ttl_ms": -1}, {"ttl_ms": 10**18}, {"wait_ms": -1}, {"session": "x"}, {"mode": "both"}):
        asked.expect(f"{bad} is refused", asked.post("/v1/locks/acquire", name="free", **bad), 400, "invalid_request")
    session = asked.post("/v1/sessions/open", ttl_ms=20000)["session"]
    several = asked.post("/v1/locks/acquire-all", names=["b", "a"], session=session)
    asked.expect("several are taken", several, 200)
    asked.tally.check("in one order", [lock["name"] for lock in several["locks"]] == ["a", "b"], several)


def locks_from_outside(asked):
    first = asked.post("/v1/locks/acquire", name="seen", ttl_ms=60000, holder="a", reason="why")
    waiting = in_thread(asked.post, "/v1/locks/acquire", name="seen", ttl_ms=60000, wait_ms=60000)
    with Events(asked, "/v1/locks/watch", name="seen") as events:
        state = events.next()[1]
        while len(state["contenders"]) < 2:
            state = events.next()[1]
        asked.tally.check("holder and waiter are told", [one["holds"] for one in state["contenders"]] == [True, False], state)
        asked.expect("and shown", asked.get("/v1/locks/show", name="seen"), 200, **state)
        listed = asked.get("/v1/locks/list", prefix="see")
        asked.expect("and listed", listed, 200, locks=[state])
        guard = {"name": "seen", "session": first["session"], "token": first["token"]}
        write = {"put": [{"key": "stock", "value": "7"}]}
        asked.expect("the holder writes", asked.post("/v1/locks/write", **guard, **write), 200)
        second = {"name": "seen", "session": state["contenders"][1]["session"], "token": state["contenders"][1]["token"]}
        asked.expect("who waits does not", asked.post("/v1/locks/write", **second, **write), 409, "not_holder")
        taken = asked.post("/v1/locks/force-release", name="seen", token=first["token"], by="ann", reason="it hangs")
        asked.expect("it is taken away", taken, 200)
        asked.expect("the holder writes no more", asked.post("/v1/locks/write", **guard, **write), 409, "stale_token")
        asked.expect("who waited holds it", waiting(), 200, token=second["token"])
        asked.expect("and writes", asked.post("/v1/locks/write", **second, **write), 200)
    highest = {"resource": "printer", "put": [{"key": "page", "value": "1"}]}
    asked.expect("a resource takes a token", asked.post("/v1/locks/write", token=9, **highest), 200)
    asked.expect("and none below it", asked.post("/v1/locks/write", token=8, **highest), 409, "stale_token")


def semaphores(asked):
    pool = {"name": "pool", "permits": 2}
    first = asked.post("/v1/semaphores/acquire", ttl_ms=60000, holder="a", **pool)
    second = asked.post("/v1/semaphores/acquire", ttl_ms=60000, **pool)
    asked.expect("as many as there are permits", second, 200)
    asked.expect("no more", asked.post("/v1/semaphores/acquire", **pool), 409, "no_permit_free")
    asked.expect("too short a wait", asked.post("/v1/semaphores/acquire", wait_ms=50, **pool), 409, "no_permit_free")
    asked.expect("another number", asked.post("/v1/semaphores/acquire", name="pool", permits=3), 409, "permits_differ")
    waiting = in_thread(asked.post, "/v1/semaphores/acquire", wait_ms=60000, **pool)
    asked.expect("in use", asked.post("/v1/semaphores/remove", name="pool"), 409, "semaphore_in_use")
    mine = {"name": "pool", "session": first["session"], "token": first["token"]}
    asked.expect("given back", asked.post("/v1/semaphores/release", **mine), 200)
    asked.expect("once", asked.post("/v1/semaphores/release", **mine), 409, "not_holder")
    third = waiting()
    asked.expect("who waited has it", third, 200)
    shown = asked.get("/v1/semaphores/show", name="pool")
    asked.expect("shown", shown, 200, permits=2)
    asked.tally.check("with both holders", [one["holds"] for one in shown["contenders"]] == [True, True], shown)
    for held in (second, third):
        asked.post("/v1/semaphores/release", name="pool", session=held["session"], token=held["token"])
    asked.expect("removed", asked.post("/v1/semaphores/remove", name="pool"), 200)


def own_idempotency(asked):
    work = {"key": "order-7", "fingerprint": "f"}
    first = asked.post("/v1/idempotency/begin", **work)
    asked.expect("the first does it", first, 200, state="first")
    asked.expect("others do not", asked.post("/v1/idempotency/begin", **work), 200, state="in_progress")
    other = asked.post("/v1/idempotency/begin", key="order-7", fingerprint="g")
    asked.expect("other work", other, 200, state="mismatch")
    mine = {"key": "order-7", "token": first["token"]}
    asked.expect("done", asked.post("/v1/idempotency/complete", answer="paid", keep_ms=60000, **mine), 200)
    asked.expect("with its answer", asked.post("/v1/idempotency/begin", **work), 200, state="done", answer="paid")
    again = asked.post("/v1/idempotency/begin", key="order-8", fingerprint="f")
    asked.expect("given up", asked.post("/v1/idempotency/abandon", key="order-8", token=again["token"]), 200)
    asked.expect("first again", asked.post("/v1/idempotency/begin", key="order-8", fingerprint="f"), 200, state="first")
    late = asked.post("/v1/idempotency/complete", key="order-8", token=again["token"], answer="x", keep_ms=1000)
    asked.expect("too late", late, 409, "not_the_first")


def elections(asked):
    first = asked.post("/v1/elections/campaign", name="primary", value="a", ttl_ms=60000)
    asked.expect("elected", first, 200)
    asked.expect("nobody else", asked.post("/v1/elections/campaign", name="primary", value="b"), 409, "somebody_leads")
    asked.expect("who leads", asked.get("/v1/elections/leader", name="primary"), 200, value="a", token=first["token"])
    mine = {"name": "primary", "session": first["session"], "token": first["token"]}
    waiting = in_thread(asked.post, "/v1/elections/campaign", name="primary", value="b", ttl_ms=60000, wait_ms=60000)
    with Events(asked, "/v1/elections/observe", name="primary") as events:
        asked.tally.check("the leader is told", events.next()[1]["value"] == "a")
        asked.expect("it says something else", asked.post("/v1/elections/proclaim", value="a2", **mine), 200)
        asked.tally.check("that is told", events.next()[1]["value"] == "a2")
        asked.expect("it resigns", asked.post("/v1/elections/resign", **mine), 200)
        second = waiting()
        asked.expect("who waited leads", second, 200)
        asked.tally.check("that is told, too", events.next()[1]["value"] == "b")
    asked.expect("the first does not", asked.post("/v1/elections/proclaim", value="a3", **mine), 409, "not_leader")
    asked.expect("nobody leads", asked.get("/v1/elections/leader", name="nobody"), 404, "no_leader")


def gatherings(asked):
    asked.expect("a latch", asked.post("/v1/latches/make", name="start", of=2), 200, count=2, of=2)
    waiting = in_thread(asked.post, "/v1/latches/await", name="start", wait_ms=60000)
    asked.expect("not yet", asked.post("/v1/latches/await", name="start", wait_ms=50), 409, "not_yet")
    for party in ("a", "a", "b"):
        last = asked.post("/v1/latches/count-down", name="start", party=party)
    asked.expect("open", last, 200, count=0)
    asked.expect("who waited is told", waiting(), 200, count=0)
    asked.expect("shown", asked.get("/v1/latches/show", name="start"), 200, count=0)
    asked.expect("removed", asked.post("/v1/latches/remove", name="start"), 200)
    asked.expect("gone", asked.get("/v1/latches/show", name="start"), 404, "latch_not_found")
    asked.post("/v1/latches/make", name="crowd", of=30)
    crowd = [in_thread(asked.post, "/v1/latches/count-down", name="crowd", party=f"p{i}") for i in range(30)]
    counts = sorted(wait()["count"] for wait in crowd)
    asked.tally.check("many count at once, each is told its own count", counts == list(range(30)), counts)
    parties = [in_thread(asked.post, "/v1/barriers/enter", name="b", parties=3, ttl_ms=60000, wait_ms=60000) for _ in range(3)]
    passed = [wait() for wait in parties]
    asked.tally.check("all go on together", {(p.status, p["generation"]) for p in passed} == {(200, 1)}, passed)
    leaving = [in_thread(asked.post, "/v1/barriers/leave", name="b", session=p["session"], generation=1, wait_ms=60000)
               for p in passed]
    asked.tally.check("and leave together", [wait().status for wait in leaving] == [200] * 3)
    asked.expect("too few", asked.post("/v1/barriers/enter", name="b", parties=3, wait_ms=50), 409, "not_yet")
    asked.expect("shown", asked.get("/v1/barriers/show", name="b"), 200, parties=3, there=0)
    asked.expect("removed", asked.post("/v1/barriers/remove", name="b"), 200)


def timers(asked):
    queue = {"queue": "orders"}
    asked.expect("set", asked.post("/v1/timers/set", name="o1", after_ms=10, payload="unpaid", **queue), 200)
    due = asked.post("/v1/timers/claim", wait_ms=60000, visibility_ms=60000, **queue)
    asked.expect("due", due, 200)
    delivery = due["deliveries"][0]
    asked.tally.check("with its payload", (delivery["name"], delivery["payload"], delivery["attempt"]) == ("o1", "unpaid", 1), due)
    one = [{"name": "o1", "token": delivery["token"]}]
    extended = asked.post("/v1/timers/settle", action="extend", delay_ms=60000, deliveries=one, **queue)["settled"][0]
    asked.tally.check("more time", extended["outcome"] == "done", extended)
    one[0]["token"] = extended["token"]
    done = asked.post("/v1/timers/settle", action="ack", deliveries=one, **queue)["settled"][0]
    asked.tally.check("acknowledged", done["outcome"] == "done", done)
    late = asked.post("/v1/timers/settle", action="ack", deliveries=one, **queue)["settled"][0]
    asked.tally.check("once", late["outcome"] == "delivery_lost", late)
    asked.expect("at night", asked.post("/v1/timers/set", name="n", cron="0 3 * * *", zone="Europe/Berlin", **queue), 200)
    asked.expect("not twice", asked.post("/v1/timers/set", name="n", after_ms=1, only_if_new=True, **queue), 409, "timer_exists")
    asked.expect("nonsense", asked.post("/v1/timers/set", name="x", cron="99 3 * * *", **queue), 400, "invalid_request")
    asked.expect("neither", asked.post("/v1/timers/set", name="x", **queue), 400, "invalid_request")
    asked.expect("shown", asked.get("/v1/timers/show", name="n", **queue), 200, cron="0 3 * * *")
    asked.expect("listed", asked.get("/v1/timers/list", **queue), 200, timers=[{"name": "n"}])
    asked.expect("cancelled", asked.post("/v1/timers/cancel", name="n", **queue), 200)
    asked.expect("once", asked.post("/v1/timers/cancel", name="n", **queue), 404, "timer_not_found")
    asked.post("/v1/timers/set", name="d", after_ms=0, attempts_max=1, payload="p", **queue)

    def fail_once():
        """Delivered, given back; whoever claims next finds that it was too often."""
        failed = asked.post("/v1/timers/claim", wait_ms=60000, **queue)["deliveries"]
        gone = [{"name": one["name"], "token": one["token"]} for one in failed]
        asked.post("/v1/timers/settle", action="give_back", deliveries=gone, **queue)
        while not (letters := asked.get("/v1/timers/dead", **queue)["timers"]):
            asked.post("/v1/timers/claim", wait_ms=200, **queue)
        asked.tally.check("a dead letter", [one["name"] for one in letters] == ["d"], letters)

    fail_once()
    asked.expect("revived", asked.post("/v1/timers/revive", name="d", **queue), 200)
    fail_once()
    asked.expect("dropped", asked.post("/v1/timers/drop-dead", name="d", **queue), 200)


def topics(asked):
    orders = {"topic": "orders"}
    billing = {"group": "billing", **orders}
    asked.expect("made", asked.post("/v1/topics/create", partitions=1, **orders), 200)
    asked.expect("not otherwise", asked.post("/v1/topics/create", partitions=2, **orders), 409, "topic_differs")
    wait = in_thread(asked.post, "/v1/topics/claim", max=10, wait_ms=60000, **billing)
    published = asked.post("/v1/topics/publish", messages=[{"key": "o1", "payload": text} for text in ("placed", "paid", "sent")], **orders)
    asked.tally.check("published", [at["offset"] for at in published["positions"]] == [0, 1, 2], published)
    first = wait()
    asked.tally.check("whoever waited has them", [one["payload"] for one in first["messages"]] == ["placed", "paid", "sent"], first)
    asked.expect("longer", asked.post("/v1/topics/extend", claim=first["claim"], **billing), 200)
    asked.expect("the first is done, the next is none of ours",
                 asked.post("/v1/topics/settle", claim=first["claim"], through=0, reject=True, reason="no such order", **billing), 200)
    asked.expect("once", asked.post("/v1/topics/settle", claim=first["claim"], all=True, **billing), 409, "claim_lost")
    letters = asked.get("/v1/topics/dead", **billing)["messages"]
    asked.tally.check("a dead letter, with its reason", [(one["payload"], one["reason"]) for one in letters] == [("paid", "no such order")], letters)
    second = asked.post("/v1/topics/claim", max=10, wait_ms=60000, **billing)
    asked.tally.check("the others go on, with a larger token",
                      [one["payload"] for one in second["messages"]] == ["sent"] and second["token"] > first["token"], second)
    asked.expect("acknowledged", asked.post("/v1/topics/settle", claim=second["claim"], all=True, **billing), 200)
    asked.expect("redriven", asked.post("/v1/topics/redrive", partition=0, offset=1, **billing), 200)
    asked.expect("once only", asked.post("/v1/topics/drop-dead", partition=0, offset=1, **billing), 404, "dead_letter_not_found")
    again = asked.post("/v1/topics/claim", wait_ms=60000, **billing)
    asked.tally.check("it comes again", [one["payload"] for one in again["messages"]] == ["paid"], again)
    asked.expect("from the beginning", asked.post("/v1/topics/seek", to="first", **billing), 200)
    asked.expect("a claim of before", asked.post("/v1/topics/settle", claim=again["claim"], all=True, **billing), 409, "claim_lost")
    everything = asked.post("/v1/topics/claim", max=10, wait_ms=60000, **billing)["messages"]
    asked.tally.check("replayed", [one["payload"] for one in everything] == ["placed", "paid", "sent", "paid"], everything)
    read = asked.get("/v1/topics/read", partition=0, **{"from": 1}, **orders)["messages"]
    asked.tally.check("read by nobody", [one["offset"] for one in read] == [1, 2, 3], read)
    shown = asked.get("/v1/topics/show", **orders)
    asked.expect("shown", shown, 200, groups=[{"group": "billing", "behind": 4}])
    asked.expect("listed", asked.get("/v1/topics/list"), 200, topics=[{"topic": "orders"}])
    asked.expect("back", asked.post("/v1/topics/seek", to="first", **billing), 200)
    first = asked.post("/v1/topics/claim", wait_ms=60000, **billing)
    asked.expect("rejected", asked.post("/v1/topics/settle", claim=first["claim"], reject=True, **billing), 200)
    asked.expect("dropped", asked.post("/v1/topics/drop-dead", partition=0, offset=0, **billing), 200)
    asked.expect("removed", asked.post("/v1/topics/remove", **orders), 200)
    asked.expect("gone", asked.post("/v1/topics/claim", **billing), 404, "topic_not_found")


def limits(asked):
    rule = {"name": "api", "limit": 5, "period_ms": 3600000}
    takes = [in_thread(asked.post, "/v1/limits/take", **rule) for _ in range(20)]
    answers = [wait() for wait in takes]
    asked.tally.check("of many, as many as the limit says", sum(a["allowed"] for a in answers) == 5, answers)
    asked.expect("reset", asked.post("/v1/limits/reset", name="api"), 200)
    asked.expect("as new", asked.post("/v1/limits/take", **rule), 200, allowed=True, remaining=4)


def ids(asked):
    answers = [asked.post("/v1/ids/next", name="invoice", count=100)["ids"] for _ in range(5)]
    numbers = [int(text) for answer in answers for text in answer]
    asked.tally.check("ids grow and are unique", numbers == sorted(set(numbers)) and len(numbers) == 500, numbers[:3])


def sessions(asked):
    opened = asked.post("/v1/sessions/open", ttl_ms=20000)
    asked.expect("a session is opened", opened, 200, ttl_ms=20000)
    mine = {"session": opened["session"]}
    asked.expect("renewed", asked.post("/v1/sessions/renew", **mine), 200)
    held = asked.post("/v1/locks/acquire", name="of-a-session", **mine)
    shown = asked.get("/v1/sessions/show", **mine)
    asked.expect("shown with what belongs to it", shown, 200, keys=[{"key": held["key"]}])
    with Events(asked, "/v1/sessions/watch", **mine) as events:
        asked.tally.check("it is watched", events.next()[0] == "alive", events)
    asked.expect("closed", asked.post("/v1/sessions/close", **mine), 200)
    asked.expect("and gone", asked.get("/v1/sessions/show", **mine), 404, "session_not_found")
    asked.expect("with its lock", asked.post("/v1/locks/acquire", name="of-a-session"), 200)
    brief = asked.post("/v1/sessions/open", ttl_ms=2000)["session"]
    long = asked.post("/v1/sessions/open", ttl_ms=600000)["session"]
    with Events(asked, "/v1/sessions/watch", session=long) as events:
        events.next()
        asked.expect("closed while it is watched", asked.post("/v1/sessions/close", session=long), 200)
        asked.tally.check("which is told at once", events.next()[0] == "lost", events)
    with Events(asked, "/v1/sessions/watch", session=brief) as events:
        seen = [event for event, _ in iter(events.next, None)]
    asked.tally.check("its loss is told", seen == ["alive", "lost"], seen)


def counters(asked):
    asked.expect("counting begins at zero", asked.post("/v1/counters/add", name="n", delta=40), 200, value=40)
    with Events(asked, "/v1/counters/watch", name="n") as events:
        asked.tally.check("the value", events.next() == ("value", {"name": "n", "value": 40, "exists": True}))
        asked.post("/v1/counters/add", name="n", delta=2)
        asked.tally.check("its change", events.next() == ("value", {"name": "n", "value": 42, "exists": True}))
    adding = [in_thread(asked.post, "/v1/counters/add", name="crowd") for _ in range(50)]
    values = sorted(wait()["value"] for wait in adding)
    asked.tally.check("each of many adds has a value of its own", values == list(range(1, 51)), values)
    asked.expect("set", asked.post("/v1/counters/set", name="n", value=2**63 - 1, expected=42), 200)
    asked.expect("no further", asked.post("/v1/counters/add", name="n"), 409, "counter_overflow")
    asked.expect("not as expected", asked.post("/v1/counters/set", name="n", value=1, expected=2), 409, "value_differs")
    asked.expect("shown", asked.get("/v1/counters/show", name="n"), 200, value=2**63 - 1, exists=True)
    asked.expect("removed", asked.post("/v1/counters/remove", name="n"), 200, value=2**63 - 1)
    end = int(time.time()) + 60
    asked.expect("simple", asked.post("/v1/simple/counters", key="s", value=3, expire=end), 200, value=3)
    asked.expect("simple, looked at", asked.get("/v1/simple/counters", key="s"), 200, value=3)


def idempotency(asked):
    def add(key, delta):
        return asked.ask("POST", "/v1/counters/add", {"name": "once", "delta": delta}, {"Idempotency-Key": key})

    first, again = add("k1", 5), add("k1", 5)
    asked.expect("the first takes effect", first, 200, value=5)
    asked.expect("its repetition has the same answer", again, 200, value=5)
    asked.tally.check("and says so", again.fields.get("idempotency-replayed") == "true", again.fields)
    asked.expect("a key is for one request", add("k1", 6), 422, "idempotency_mismatch")
    asked.expect("another key", add("k2", 5), 200, value=10)
    asked.expect("no key at all", add("", 5), 400, "invalid_request")
    crowd = [in_thread(add, "k3", 1) for _ in range(20)]
    answers = [wait() for wait in crowd]
    asked.tally.check("of many at once one takes effect", asked.get("/v1/counters/show", name="once")["value"] == 11, answers)
    asked.tally.check("the others wait or repeat it", {(a.status, a.code) for a in answers}
                      <= {(200, None), (409, "idempotency_in_progress")}, answers)


def keys_under(asked, prefix):
    def base64_of(text):
        return base64.b64encode(text.encode()).decode()

    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    body = json.dumps({"key": base64_of(prefix), "range_end": base64_of(end), "count_only": True})
    return int(asked.raw("POST", "/v3/kv/range", body).json.get("count", 0))


def http2(asked):
    """With curl, where there is one that speaks it."""
    if shutil.which("curl") is None or "HTTP2" not in subprocess.run(["curl", "--version"], capture_output=True, text=True).stdout:
        return
    said = subprocess.run(["curl", "--silent", "--http2-prior-knowledge", "--write-out", " %{http_version} %{http_code}",
                           "--data", '{"name":"h2","delta":7}', f"http://{asked.endpoint}/v1/counters/add"],
                          capture_output=True, text=True, timeout=60).stdout
    asked.tally.check("curl counts over HTTP/2", said == '{"name":"h2","value":7} 2 200', said)


BAD_BODIES = [
    ("J33 empty", b""),
    ("J34 truncated", b'{"key":"a","value":"b","expire":8999999999'),
    ("J35 bytes after the end", b'{"key":"a","value":"b","expire":8999999999}x'),
    ("J36 a member twice", b'{"key":"a","key":"a","value":"b","expire":8999999999}'),
    ("J37 too deep", b'{"key":' + b"[" * 65 + b"]" * 65 + b"}"),
    ("J38 NaN", b'{"key":"a","value":"b","expire":NaN}'),
    ("J39 1e400", b'{"key":"a","value":"b","expire":1e400}'),
    ("J40 above 2^63", b'{"key":"a","value":"b","expire":9223372036854775808}'),
    ("J41 half a surrogate pair", b'{"key":"\\ud800","value":"b","expire":8999999999}'),
    ("J42 bad UTF-8", b'{"key":"\xff","value":"b","expire":8999999999}'),
    ("J43 byte order mark", b'\xef\xbb\xbf{"key":"a","value":"b","expire":8999999999}'),
    ("J44 comment", b'{/**/"key":"a","value":"b","expire":8999999999}'),
    ("J45 wrong type", b'{"key":[],"value":"b","expire":8999999999}'),
    ("J46 unknown member", b'{"key":"a","colour":"red","value":"b","expire":8999999999}'),
    ("J47 bad base64", b'{"key_base64":"Y*==","value":"b","expire":8999999999}'),
    ("J48 negative time", b'{"key":"a","value":"b","expire":-5}'),
]


def bad_requests(asked):
    path = "/v1/simple/locks"
    for row, body in BAD_BODIES:
        asked.expect(row, asked.ask("POST", path, body), 400, "invalid_request")
    asked.expect("and none took the lock", asked.post(path, key="a", value="b", expire=8999999999), 200)
    text = asked.ask("POST", path, b"{}", {"Content-Type": "text/plain"})
    asked.expect("J31 text/plain", text, 415, "unsupported_media_type")
    for what, answer, status in (("J29 wrong method", asked.raw("PUT", path, b"{}"), 405),
                                 ("no such path", asked.raw("GET", "/v1/nothing"), 404),
                                 ("J23 large body", asked.raw("POST", path, b"x" * (4 * 1024 * 1024 + 1)), 413)):
        holds = answer.status == status and answer.fields["content-type"] == "application/problem+json"
        asked.tally.check(f"{what} is a problem, too", holds and answer["status"] == status, answer)


def request_ids(asked):
    sent = asked.ask("DELETE", "/v1/simple/locks", {"key": "k", "value": "v"}, {"X-Request-Id": "mine-7"})
    asked.tally.check("the client's request id comes back", sent.fields["x-request-id"] == "mine-7", sent.fields)
    asked.tally.check("also in the problem", sent["request_id"] == "mine-7", sent)
    odd = asked.ask("DELETE", "/v1/simple/locks", {"key": "k", "value": "v"}, {"X-Request-Id": "a b"})
    asked.tally.check("one that is none is replaced", " " not in odd.fields["x-request-id"], odd.fields)


def logins(asked, on_etcd):
    """Users are the store's; a server that stands on somebody else's cluster has none."""
    answer = asked.ask("GET", "/v1/counters/show", {"name": "n"}, {"Authorization": "no-token"})
    asked.tally.check("a token of nobody", (answer.status, answer.code) == ((401, "unauthenticated") if on_etcd else (200, None)), answer)


def routes_asked(asked):
    answered = {(method, path) for method, path, status in asked.seen if status == 200}
    for operation in asked.document.operations():
        asked.tally.check(f"{operation} was asked, with success", operation in answered, "never")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    arguments.add_argument("--store", default="own", choices=("own", "etcd"))
    given = arguments.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        allowed = "--callouts-allow-loopback=true"
        beneath = servers.etcd(folder) if given.store == "etcd" else None
        server = (servers.lockstepd_on(given.lockstepd, folder, beneath, allowed) if beneath
                  else servers.lockstepd(given.lockstepd, folder, allowed))
        try:
            asked = Asked(server.endpoint, tally)
            for part in (simple_locks, locks, locks_from_outside, sessions, counters, ids, limits,
                         semaphores, own_idempotency, elections, gatherings, timers, transactions, topics,
                         idempotency, http2, bad_requests, request_ids, routes_asked):
                part(asked)
            logins(asked, on_etcd=given.store == "etcd")
            # Whoever waits while the server stops is told.
            asked.post("/v1/locks/acquire", name="last", ttl_ms=60000)
            waiting = in_thread(asked.post, "/v1/locks/acquire", name="last", wait_ms=60000)
            watching = Events(asked, "/v1/counters/watch", name="last")
            watching.next()
            while keys_under(asked, "last/") < 2:
                pass
        finally:
            ended = server.stop()
            if beneath:
                beneath.stop()
        asked.expect("who waits while the server stops is told", waiting(), 503, "unavailable")
        tally.check("streams end", watching.next() is None)
        watching.close()
        tally.check("the server ends well", ended == 0, f"{ended}\n{server.printed()}")
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
