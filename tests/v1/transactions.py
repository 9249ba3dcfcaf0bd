"""Transactions over HTTP: every route, and what is refused. For v1_test.py."""

import http.server
import threading

from world import Events, in_thread


class Refusing(http.server.BaseHTTPRequestHandler):
    """A service that has nothing left."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(409)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def transactions(asked):
    """What is called here refuses, or is not there; tests/transactions has services that do something."""
    path = "/v1/transactions"
    note = {"by": "ann", "reason": "a test"}
    gid = asked.get(f"{path}/new-gid")["gid"]
    asked.expect("begun", asked.post(path, gid=gid, mode="tcc"), 200, state="trying", existed=False)
    asked.expect("once", asked.post(path, gid=gid, mode="tcc"), 200, existed=True)
    asked.expect("another one", asked.post(path, gid=gid, mode="xa"), 409, "transaction_exists")
    branch = {"gid": gid, "branch": "stock", "confirm": "http://127.0.0.1:1/", "cancel": "http://127.0.0.1:1/", "payload": {"n": 1.5}}
    asked.expect("a branch", asked.post(f"{path}/branches", **branch), 200)
    kept = asked.get(f"{path}/definition", gid=gid)
    asked.tally.check("kept", kept["branches"][0]["payload"] == {"n": 1.5}, kept)
    with Events(asked, f"{path}/watch", gid=gid) as events:
        asked.tally.check("watched", events.next()[1]["state"] == "trying")
        waiting = in_thread(asked.get, f"{path}/wait", gid=gid, wait_ms=60000)
        asked.expect("decided", asked.post(f"{path}/decide", gid=gid, decision="commit"), 200, state="committing")
        asked.expect("once and for all", asked.post(f"{path}/decide", gid=gid, decision="abort"), 409, "decided_otherwise")
        asked.expect("too late", asked.post(f"{path}/branches", **(branch | {"branch": "late"})), 409, "transaction_not_open")
        asked.expect("tried again now", asked.post(f"{path}/retry", gid=gid, **note), 200)
        asked.expect("by hand", asked.post(f"{path}/skip", gid=gid, branch="stock", **note), 200, state="committed")
        asked.expect("who waited is told", waiting(), 200, state="committed", finished=True)
        seen = events.next()
        while not seen[1]["finished"]:
            seen = events.next()
        asked.tally.check("who watched, too", events.next() is None)
    shown = asked.get(f"{path}/show", gid=gid)
    asked.tally.check("on the record", [one["action"] for one in shown["audits"]] == ["retry", "skip"], shown)
    asked.expect("nothing is there", asked.get(f"{path}/show", gid="none"), 404, "transaction_not_found")
    asked.tally.check("by its path", asked.get(path + "/{gid}", gid=gid).json == shown.json, shown)
    asked.expect("a name of signs", asked.post(path, gid="a+b&c=d?e", mode="tcc"), 200)
    asked.expect("by its path, too", asked.get(path + "/{gid}", gid="a+b&c=d?e"), 200, gid="a+b&c=d?e")
    asked.expect("nothing by that path", asked.get(path + "/{gid}", gid="none"), 404, "transaction_not_found")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    dead = asked.post(path, gid="letter", mode="notification", targets=[{"url": url}], wait_ms=60000)
    asked.expect("nobody wants it", dead, 200, state="failed")
    asked.expect("sent again", asked.post(f"{path}/forward", gid="letter", **note), 200)
    definition = {"on_failure": "forward", "steps": [{"name": "a", "action": url}]}
    asked.expect("a saga", asked.post(path, gid="held", mode="saga", definition=definition), 200)
    while not asked.get(f"{path}/show", gid="held")["needs_operator"]:
        pass
    listed = asked.get(path, needs_operator="true")
    asked.tally.check("is held for somebody", [one["gid"] for one in listed["transactions"]] == ["held"], listed)
    asked.expect("who undoes it", asked.post(f"{path}/compensate", gid="held", **note), 200)
    asked.expect("and it is undone", asked.get(f"{path}/wait", gid="held", wait_ms=60000), 200, state="aborted")
    asked.expect("a message", asked.post(path, gid="message", mode="message", check=url, targets=[{"url": url}]), 200, state="trying")
    asked.expect("is ended", asked.post(f"{path}/finish", gid="message", **note), 200, state="failed")
    page = asked.get(path, limit=1)
    asked.tally.check("pages", len(page["transactions"]) == 1 and asked.get(path, limit=1, cursor=page["cursor"]).status == 200, page)
    for wrong, place in (({"mode": "nested"}, "/mode"), ({"mode": "tcc", "branches": [{"id": "a"}]}, "/branches/0/confirm"),
                         ({"mode": "saga", "steps": [{"name": "a", "action": url, "after": ["b"]}]}, "/steps/0/after")):
        asked.expect(f"{wrong} is refused", asked.post(path, **wrong), 400, "invalid_request", pointer=place)
    forbidden = asked.post(path, mode="notification", targets=[{"url": "http://169.254.169.254/"}])
    asked.expect("an address that is nobody's to call", forbidden, 403, "address_forbidden")
    server.shutdown()
    server.server_close()
