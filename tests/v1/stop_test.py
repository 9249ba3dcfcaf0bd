"""A real lockstepd that is told to stop while calls wait in line: each is answered at once, and leaves no place behind.

usage: stop_test.py --lockstepd PROGRAM

The last line is "N passed, N failed".
"""

import argparse
import base64
import json
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))

import servers
from world import Asked, Tally, in_thread

LONG_MS = 600_000
WAITING_SECONDS_MAX = 30
NAME = base64.b64encode(b"w").decode()


def etcd(asked, path, **body):
    return asked.raw("POST", path, json.dumps(body), {"Content-Type": "application/json"})


def contenders(asked):
    found = etcd(asked, "/v3/kv/range", key="dy8=", range_end="dzA=", keys_only=True)  # w/ to w0
    return sorted(base64.b64decode(kv["key"]).decode() for kv in found.json.get("kvs", []))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lockstepd", required=True)
    program = parser.parse_args().lockstepd
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="lockstep-stop-") as folder:
        server = servers.lockstepd(program, folder, "--shutdown-timeout", f"{LONG_MS}ms")
        asked = Asked(server.endpoint, tally)
        for lease in (1, 2):
            etcd(asked, "/v3/lease/grant", ID=lease, TTL=600)
        session = asked.post("/v1/sessions/open", ttl_ms=LONG_MS)["session"]
        etcd(asked, "/v3/lock/lock", name=NAME, lease=1)
        waiting = [in_thread(etcd, asked, "/v3/lock/lock", name=NAME, lease=2),
                   in_thread(etcd, asked, "/v3/election/campaign", name=NAME, value=""),
                   in_thread(asked.ask, "POST", "/v1/locks/acquire", {"name": "w", "session": session, "wait_ms": LONG_MS})]
        deadline = time.monotonic() + WAITING_SECONDS_MAX
        while len(contenders(asked)) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        tally.check("three wait behind one", len(contenders(asked)) == 4, contenders(asked))
        tally.check("the server ends", server.stop() == 0, server.printed())
        for answer in [wait() for wait in waiting]:
            tally.check("who waited is told to go elsewhere", answer.status == 503, answer)
        server = servers.lockstepd(program, folder)
        asked = Asked(server.endpoint, tally)
        tally.check("only the holder's place is left", contenders(asked) == ["w/1"], contenders(asked))
        tally.check("the server ends again", server.stop() == 0, server.printed())
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


main()
