"""Transactions of real lockstepd processes over real services: sagas, tcc, failures and their undoing, services that are
down or answer nonsense, kill -9 of the server in the middle, three members whose leader dies, and help by hand.

usage: transactions_test.py --lockstepd PROGRAM --lockstep PROGRAM

The last line is "N passed, N failed".
"""

import argparse
import http.client
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))

import servers
from participants import Participants

PATIENCE = 120  # seconds, after which something is taken for stuck


class Checks:
    def __init__(self):
        self.passed = self.failed = 0

    def __call__(self, what, holds, seen=""):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        if not holds:
            print(f"FAILED {what}: {str(seen)[:2000]}", flush=True)
        return holds


def ask(endpoint, path, body=None, **query):
    connection = http.client.HTTPConnection(*endpoint.split(":"), timeout=PATIENCE)
    try:
        if body is None:
            connection.request("GET", path + ("?" + urllib.parse.urlencode(query) if query else ""))
        else:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def submit(endpoint, **body):
    return ask(endpoint, "/v1/transactions", body)


def show(endpoint, gid):
    return ask(endpoint, "/v1/transactions/show", gid=gid)[1]


def wait_for(endpoint, gid):
    """The transaction when it is finished; asked again if the server goes away meanwhile."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            status, view = ask(endpoint, "/v1/transactions/wait", gid=gid, wait_ms=20000)
            if status == 200 and view["finished"]:
                return view
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    raise TimeoutError(f"{gid} does not end: {show(endpoint, gid)}")


def metric(endpoint, name):
    connection = http.client.HTTPConnection(*endpoint.split(":"), timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
    finally:
        connection.close()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + " "))


def step(url, name, action="ok", compensate="ok", **more):
    return {"name": name, "action": f"{url}/{action}", "compensate": f"{url}/{compensate}", "payload": {"step": name}, **more}


def branch(url, name, attempt="ok"):
    return {"id": name, "try": f"{url}/{attempt}", "confirm": f"{url}/ok", "cancel": f"{url}/ok"}


def sagas(check, server, them, lockstep):
    steps = [step(them.url, name) for name in ("stock", "payment", "mail")]
    status, done = submit(server.endpoint, gid="trip", mode="saga", steps=steps, wait_ms=60000)
    check("a saga is done", status == 200 and done["state"] == "committed", done)
    check("in its order", them.order["trip"] == [("action", "stock"), ("action", "payment"), ("action", "mail")], them.order["trip"])
    check("its result is what they answered", done["result"]["stock"]["got"] == {"step": "stock"}, done)
    again = submit(server.endpoint, gid="trip", mode="saga", steps=steps)
    check("once", again[0] == 200 and again[1]["existed"] and len(them.order["trip"]) == 3, again)
    other = submit(server.endpoint, gid="trip", mode="saga", steps=steps[:1])
    check("another one of that name is refused", (other[0], other[1]["code"]) == (409, "transaction_exists"), other)
    steps[2]["action"] = f"{them.url}/refuse"
    undone = submit(server.endpoint, gid="back", mode="saga", steps=steps, wait_ms=60000)[1]
    check("a refusal undoes it", undone["state"] == "aborted" and "mail" in undone["reason"], undone)
    check("newest first", them.order["back"][2:] == [("compensate", "payment"), ("compensate", "stock")], them.order["back"])
    shown = subprocess.run([lockstep, "--endpoints", server.endpoint, "tx", "show", "back"], capture_output=True, text=True)
    lines = [line.split() for line in shown.stdout.splitlines() if "|" in line]
    check("its waterfall", [line[:3] for line in lines] == [
        ["stock", "action", "done"], ["payment", "action", "done"], ["mail", "action", "refused"],
        ["payment", "compensate", "done"], ["stock", "compensate", "done"]], shown)


def seata(check, server, them):
    """Seata's language, as its users write it; services by name."""
    states = [{"Name": "CreateOrder", "Type": "ServiceTask", "ServiceName": "orderService", "ServiceMethod": "createOrder",
               "CompensateMethod": "cancelOrder", "Next": "DeductPayment"},
              {"Name": "DeductPayment", "Type": "ServiceTask", "ServiceName": "paymentService", "ServiceMethod": "deduct",
               "CompensateMethod": "refund", "Next": "Succeed"}, {"Name": "Succeed", "Type": "Succeed"}]
    ended = submit(server.endpoint, gid="seata", mode="saga", definition={"Name": "OrderSaga", "States": states}, wait_ms=60000,
                   services={"paymentService": f"{them.url}/refuse"})[1]
    check("Seata's saga runs, is refused and undone", ended["state"] == "aborted", show(server.endpoint, "seata"))
    check("with one service of the server's table", them.order["seata"] == [("action", "CreateOrder"), ("compensate", "CreateOrder")],
          them.order["seata"])


def tcc(check, server, them):
    branches = [branch(them.url, "stock"), branch(them.url, "payment")]
    done = submit(server.endpoint, gid="order", mode="tcc", branches=branches, wait_ms=60000)[1]
    check("tcc is confirmed", done["state"] == "committed", done)
    check("each once", all(them.effects["order", one, what] == 1 for one in ("stock", "payment") for what in ("try", "confirm")), them.order["order"])
    branches[1]["try"] = f"{them.url}/refuse"
    ended = submit(server.endpoint, gid="none", mode="tcc", branches=branches, wait_ms=60000)[1]
    check("or cancelled", ended["state"] == "aborted" and them.effects["none", "stock", "cancel"] == 1, them.order["none"])
    check("nothing is confirmed then", not any(what == "confirm" for what, _ in them.order["none"]), them.order["none"])
    submit(server.endpoint, gid="own", mode="tcc")
    one = {"gid": "own", "branch": "stock", "confirm": f"{them.url}/ok", "cancel": f"{them.url}/ok"}
    check("an owner registers", ask(server.endpoint, "/v1/transactions/branches", one)[0] == 200)
    check("and decides", ask(server.endpoint, "/v1/transactions/decide", {"gid": "own", "decision": "commit"})[0] == 200)
    check("all is confirmed", wait_for(server.endpoint, "own")["state"] == "committed" and them.order["own"] == [("confirm", "stock")])
    submit(server.endpoint, gid="forgotten", mode="tcc", timeout="200ms")
    check("what nobody decides is aborted", wait_for(server.endpoint, "forgotten")["state"] == "aborted")


def down_for_a_while(check, server, them):
    retry = {"interval": "20ms", "interval_max": "50ms"}
    saga = submit(server.endpoint, gid="patient", mode="saga", retry=retry, steps=[step(them.url, "stock", "down")])[1]
    while them.calls["down"] < 4:
        time.sleep(0.01)
    check("a service that is down is no refusal", show(server.endpoint, "patient")["state"] == "submitted", saga)
    them.up.set()
    check("when it is up again, it goes on", wait_for(server.endpoint, "patient")["state"] == "committed")
    entry = show(server.endpoint, "patient")["branches"][0]
    check("with all attempts counted", entry["attempts"] == len(them.attempts["patient/stock/action"]) > 3, entry)


def nonsense(check, server, them):
    """Some never answer, or with garbage, or with 100 MB; the others do not notice."""
    retry = {"timeout": "1s", "interval": "100ms"}
    for word in ("garbage", "huge", "never"):
        for i in range(3):
            submit(server.endpoint, gid=f"{word}-{i}", mode="saga", retry=retry, steps=[step(them.url, "a", word)])
    ended = [submit(server.endpoint, gid=f"good-{i}", mode="saga", steps=[step(them.url, "a"), step(them.url, "b")], wait_ms=60000)[1]
             for i in range(30)]
    check("the others end", all(one["state"] == "committed" for one in ended), ended)
    check("who says yes at great length has said yes",
          all(wait_for(server.endpoint, f"huge-{i}")["state"] == "committed" for i in range(3)))
    unheard = ("garbage", "never")
    bad = [show(server.endpoint, f"{word}-{i}") for word in unheard for i in range(3)]
    check("what has no outcome goes on", all(one["state"] == "submitted" for one in bad), bad)
    for word in unheard:
        while them.calls[word] < 6:
            time.sleep(0.02)
        ask(server.endpoint, "/v1/transactions/finish", {"gid": f"{word}-0", "by": "test", "reason": "it will never answer"})
        check(f"{word} is ended by hand", show(server.endpoint, f"{word}-0")["state"] == "failed")
        for i in (1, 2):
            ask(server.endpoint, "/v1/transactions/finish", {"gid": f"{word}-{i}", "by": "test", "reason": "likewise"})


def by_hand(check, server, them, lockstep):
    retry = {"interval": "10ms", "interval_max": "20ms", "attempts_alarm": 3}
    steps = [step(them.url, "stock", compensate="stuck", compensate_retry=retry), step(them.url, "payment", "refuse")]
    submit(server.endpoint, gid="help", mode="saga", steps=steps)
    while not show(server.endpoint, "help")["needs_operator"]:
        time.sleep(0.02)
    listed = ask(server.endpoint, "/v1/transactions", needs_operator="true")[1]["transactions"]
    check("an undoing that fails needs an operator", [one["gid"] for one in listed] == ["help"], listed)
    check("which is a metric", metric(server.endpoint, "lockstep_transactions_need_operator") == 1)
    command = [lockstep, "--endpoints", server.endpoint, "tx", "skip", "help", "stock", "--reason", "put back by hand"]
    skipped = subprocess.run(command, capture_output=True, text=True)
    check("who skips it", skipped.returncode == 0, skipped)
    ended = wait_for(server.endpoint, "help")
    check("ends it, and it is not called undone", ended["state"] == "failed" and not ended["needs_operator"], ended)
    audits = show(server.endpoint, "help")["audits"]
    check("on the record", [(one["action"], one["branch"], one["reason"]) for one in audits] == [("skip", "stock", "put back by hand")], audits)


def refusals(check, server, them):
    cycle = [step(them.url, "a", after=["b"]), step(them.url, "b", after=["a"])]
    many = [{"name": f"s{i}", "action": f"{them.url}/ok"} for i in range(10000)]
    large = [step(them.url, "a")]
    large[0]["payload"] = "x" * (1 << 20)
    for what, body, status, code, pointer in (
            ("unknown mode", {"mode": "nested"}, 400, "invalid_request", "/mode"),
            ("a cycle", {"mode": "saga", "steps": cycle}, 400, "invalid_request", "/steps"),
            ("10,000 steps", {"mode": "saga", "steps": many}, 413, "content_too_large", "/steps"),
            ("more than 1 MiB", {"mode": "saga", "steps": large}, 400, "invalid_request", "/steps"),
            ("10,000 branches", {"mode": "tcc", "branches": [{"id": f"{i}", "confirm": "http://a", "cancel": "http://a"} for i in range(10000)]}, 413, "content_too_large", "/branches"),
            ("link-local", {"mode": "notification", "targets": [{"url": "http://169.254.169.254/latest"}]}, 403, "address_forbidden", None),
            ("no http", {"mode": "saga", "steps": [{"name": "a", "action": "file:///etc/passwd"}]}, 400, "invalid_request", "/steps/0/action")):
        answer = submit(server.endpoint, gid="bad", **body)
        holds = answer[0] == status and answer[1]["code"] == code and (pointer is None or answer[1].get("pointer", "").startswith(pointer))
        check(f"{what} is refused", holds, answer)
    check("and nothing is kept", show(server.endpoint, "bad")["code"] == "transaction_not_found")


def begin_many(endpoint, url, prefix, count):
    """Half of them are refused at their last step. Whatever happens to the server, each is submitted until that is certain."""

    def one(i):
        last = step(url, "c", "slow" if i % 2 else "refuse")
        body = {"gid": f"{prefix}-{i}", "mode": "saga", "steps": [step(url, "a", "slow"), step(url, "b", "slow"), last],
                "retry": {"timeout": "2s", "interval": "50ms", "interval_max": "200ms"}}
        for target in endpoint() * 100:
            try:
                if ask(target, "/v1/transactions", body)[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        raise TimeoutError(f"{prefix}-{i} cannot be submitted")

    threads = [threading.Thread(target=lambda k=k: [one(i) for i in range(k, count, 8)]) for k in range(8)]
    for thread in threads:
        thread.start()
    return threads


def judge(check, endpoint, them, prefix, count):
    """All or nothing of each, whatever was killed."""
    for i in range(count):
        gid = f"{prefix}-{i}"
        ended = wait_for(endpoint, gid)
        done = {name for operation, name in them.order[gid] if operation == "action"}
        undone = [name for operation, name in them.order[gid] if operation == "compensate"]
        if i % 2:
            check(f"{gid} is done", ended["state"] == "committed" and done == {"a", "b", "c"} and not undone, (ended, them.order[gid]))
        else:
            # The refusing one, too, if the coordinator before may have asked it: then its refusal does not say that it did nothing.
            check(f"{gid} is undone, newest first", ended["state"] == "aborted" and done == {"a", "b"}
                  and undone in (["b", "a"], ["c", "b", "a"]), (ended, them.order[gid]))


def killed(check, lockstepd, folder, them):
    server = servers.lockstepd(lockstepd, folder, "--callouts-allow-loopback=true")
    count = 60
    try:
        for turn in range(3):
            begun = begin_many(lambda: [server.endpoint], them.url, f"kill{turn}", count)
            before = sum(them.effects.values())
            while sum(them.effects.values()) < before + count // 2:
                time.sleep(0.005)
            server.process.kill()
            server.process.wait()
            port = server.endpoint.rsplit(":", 1)[1]
            server = servers.Server(server.name, server.process.args, port, folder).wait_until_it_serves()
            for thread in begun:
                thread.join()
            judge(check, server.endpoint, them, f"kill{turn}", count)
    finally:
        server.stop()


def leader_killed(check, lockstepd, folder, them):
    members = servers.lockstepd_cluster(lockstepd, folder, 3, "--callouts-allow-loopback=true")
    count = 60
    try:
        begun = begin_many(lambda: [member.endpoint for member in members], them.url, "lead", count)
        before = sum(them.effects.values())
        while sum(them.effects.values()) < before + count // 2:
            time.sleep(0.005)
        leader = next(one for one in members if metric(one.endpoint, 'lockstep_raft_role{role="leader"}') == 1)
        check("the leader coordinates", metric(leader.endpoint, "lockstep_transactions_coordinates") == 1)
        members.remove(leader)
        leader.process.kill()
        leader.process.wait()
        for thread in begun:
            thread.join()
        judge(check, members[0].endpoint, them, "lead", count)
        coordinators = [metric(one.endpoint, "lockstep_transactions_coordinates") for one in members]
        check("one of those that are left coordinates", sum(coordinators) == 1, coordinators)
    finally:
        for member in members:
            member.stop()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    arguments.add_argument("--lockstep", required=True)
    given = arguments.parse_args()
    check = Checks()
    them = Participants()
    with tempfile.TemporaryDirectory() as folder:
        server = servers.lockstepd(given.lockstepd, folder, "--dev", "--services", f"orderService={them.url}/ok")
        try:
            sagas(check, server, them, given.lockstep)
            seata(check, server, them)
            tcc(check, server, them)
            down_for_a_while(check, server, them)
            nonsense(check, server, them)
            by_hand(check, server, them, given.lockstep)
            refusals(check, server, them)
        finally:
            ended = server.stop()
        check("the server ends well", ended == 0, server.printed())
    for part in (killed, leader_killed):
        with tempfile.TemporaryDirectory() as folder:
            part(check, given.lockstepd, folder, them)
    check("each call was named by its key", not them.wrong, them.wrong)
    check("attempts only grow", all(numbers == sorted(numbers) for numbers in them.attempts.values()))
    them.close()
    print(f"{check.passed} passed, {check.failed} failed")
    sys.exit(1 if check.failed else 0)


if __name__ == "__main__":
    main()
