"""etcd's lock and election services, as its JSON gateway serves them: who holds what, and at which revision.

Every revision is shown: an acquisition is one write, a release another, waiting none. Two things differ on purpose and are
left out: a lease that asks for what it holds already writes its key once more, so it is asked last and its key is shown;
and whoever waited to be elected hears the revision at which it was, not the one at which it joined.
"""

import base64
import json
import os
import threading
import time
import urllib.error
import urllib.request

from said import show


def text(value):
    return base64.b64encode(value.encode()).decode()


def plain(answer):
    """Without what names the cluster; bytes as text."""
    if isinstance(answer, dict):
        kept = {key: plain(value) for key, value in answer.items() if key not in ("cluster_id", "member_id", "raft_term")}
        return {key: base64.b64decode(value).decode() if key in ("key", "name", "value") else value
                for key, value in sorted(kept.items())}
    return [plain(one) for one in answer] if isinstance(answer, list) else answer


def call(path, body, time_s=30):
    request = urllib.request.Request(f"http://{os.environ['ENDPOINT']}/v3/{path}", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=time_s) as answer:
            return plain(json.load(answer))
    except urllib.error.HTTPError as refused:
        return ("refused", json.load(refused).get("code"))


class Later:
    """A call that waits at the server while the script goes on."""

    def __init__(self, path, body):
        self.thread = threading.Thread(target=lambda: setattr(self, "answer", call(path, body)))
        self.thread.start()

    def result(self):
        self.thread.join()
        return self.answer


def contenders(prefix):
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    found = call("kv/range", {"key": text(prefix), "range_end": text(end), "sort_target": "CREATE"})
    return [(kv["key"], kv["create_revision"], kv["mod_revision"], kv["version"]) for kv in found.get("kvs", [])]


def wait_for(prefix, count):
    while len(contenders(prefix)) != count:
        time.sleep(0.02)
    return contenders(prefix)


for lease in range(1, 7):
    call("lease/grant", {"TTL": 600, "ID": lease})

show("locked", call("lock/lock", {"name": text("l"), "lease": 1}))
second = Later("lock/lock", {"name": text("l"), "lease": 2})
show("two", wait_for("l/", 2))
third = Later("lock/lock", {"name": text("l"), "lease": 3})
show("three", wait_for("l/", 3))
show("unlocked", call("lock/unlock", {"key": text("l/1")}))
show("the second's", second.result())
show("the second leaves", call("lock/unlock", {"key": text("l/2")}))
show("the third's", third.result())
try:
    call("lock/lock", {"name": text("l"), "lease": 4}, time_s=1)
except OSError:
    show("the fourth", "gave up")
show("its place", wait_for("l/", 1))
show("the third leaves", call("lock/unlock", {"key": text("l/3")}))
show("and once more", call("lock/unlock", {"key": text("l/3")}))
show("free again", call("lock/lock", {"name": text("l"), "lease": 1}))
show("unlocked", call("lock/unlock", {"key": text("l/1")}))
show("without such a lease", call("lock/lock", {"name": text("l"), "lease": 99}))
show("without a key", call("lock/unlock", {}))

show("elected", call("election/campaign", {"name": text("e"), "lease": 1, "value": text("v1")}))
show("with another value", call("election/campaign", {"name": text("e"), "lease": 1, "value": text("v2")}))
second = Later("election/campaign", {"name": text("e"), "lease": 2, "value": text("w")})
show("two", wait_for("e/", 2))
show("leads", call("election/leader", {"name": text("e")}))
leader = {"name": text("e"), "key": text("e/1"), "lease": 1}
show("whose revision?", contenders("e/")[0])
leader["rev"] = contenders("e/")[0][1]
show("proclaims", call("election/proclaim", {"leader": leader, "value": text("v3")}))
show("stale", call("election/proclaim", {"leader": {**leader, "rev": 1}, "value": text("v4")}))
show("resigns", call("election/resign", {"leader": leader}))
show("the second", second.result()["leader"])
show("resigns again", call("election/resign", {"leader": leader}))
show("leads", call("election/leader", {"name": text("e")}))
show("so far", call("kv/range", {"key": text("x")}))
show("locked", call("lock/lock", {"name": text("m"), "lease": 1}))
show("and again", call("lock/lock", {"name": text("m"), "lease": 1})["key"])
show("elected again", call("election/campaign", {"name": text("e"), "lease": 2, "value": text("w")})["leader"])
