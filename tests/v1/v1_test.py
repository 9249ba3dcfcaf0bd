"""/v1 of a real lockstepd, as a script in any language would use it. Every answer is checked against the server's own
document, and at the end every route of the document must have been asked.

usage: v1_test.py --lockstepd PROGRAM

The last line is "N passed, N failed".
"""

import argparse
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))

import servers
from world import Asked, Tally


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


def routes_asked(asked):
    answered = {(method, path) for method, path, status in asked.seen if status == 200}
    for operation in asked.document.operations():
        asked.tally.check(f"{operation} was asked, with success", operation in answered, "never")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    given = arguments.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        server = servers.lockstepd(given.lockstepd, folder)
        try:
            asked = Asked(server.endpoint, tally)
            for part in (simple_locks, bad_requests, request_ids, routes_asked):
                part(asked)
        finally:
            ended = server.stop()
        tally.check("the server ends well", ended == 0, f"{ended}\n{server.printed()}")
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
