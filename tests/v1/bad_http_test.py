"""J1 to J32: requests to /v1 of a real lockstepd that are no good HTTP. Each would add to a counter if it were taken; each has
its status, most end the connection, none takes effect, and who behaves is served after each.

usage: bad_http_test.py --lockstepd PROGRAM

The last line is "N passed, N failed".
"""

import argparse
import json
import pathlib
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))

import servers
from world import Asked, Tally

PATH = "/v1/counters/add"
BODY = b'{"name":"bad"}'
LENGTH = f"Content-Length: {len(BODY)}"
CHUNKS = b"e\r\n" + BODY + b"\r\n0\r\n\r\n"
SLOW_SECONDS_MAX = 60  # the server waits 10 s for a head and 30 s for a body


def post(*fields, target=PATH, version="HTTP/1.1", host="Host: localhost", body=BODY):
    """A good request but for what is given."""
    head = [f"POST {target} {version}", *([host] if host else []), "Content-Type: application/json", *(fields or [LENGTH])]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def chunked(body, field="Transfer-Encoding: chunked"):
    return post(field, body=body)


ENDS = True
# row, what is sent, status, whether the connection must end
ROWS = [
    ("J1 a length and chunks", post(LENGTH, "Transfer-Encoding: chunked", body=CHUNKS), 400, ENDS),
    ("J2 two lengths", post(LENGTH, "Content-Length: 5"), 400, ENDS),
    ("J2 two equal lengths", post(LENGTH, LENGTH), 400, ENDS),
    ("J3 a sign", post(f"Content-Length: +{len(BODY)}"), 400, ENDS),
    ("J4 a negative length", post("Content-Length: -1"), 400, ENDS),
    ("J5 a length above 2^63", post("Content-Length: 9223372036854775808"), 400, ENDS),
    ("J6 other codings", chunked(CHUNKS, "Transfer-Encoding: xchunked"), 400, ENDS),
    ("J6 a tab before it", chunked(CHUNKS, "Transfer-Encoding: \x0bchunked"), 400, ENDS),
    ("J6 twice", post("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=CHUNKS), 400, ENDS),
    ("J7 a bad chunk size", chunked(b"0xe\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, ENDS),
    ("J8 an overflowing chunk size", chunked(b"1000000000000000e\r\n" + BODY + b"\r\n0\r\n\r\n"), 400, ENDS),
    ("J9 no line end behind a chunk", chunked(b"e\r\n" + BODY + b"0\r\n\r\n"), 400, ENDS),
    ("J10 a space before the colon", post(f"Content-Length : {len(BODY)}"), 400, ENDS),
    ("J11 a folded field", post(LENGTH, "X-A: b", " c"), 400, ENDS),
    ("J12 a control byte", post(LENGTH, "X-A: b\x01"), 400, ENDS),
    ("J12 a zero byte", post(LENGTH, "X-A: b\0"), 400, ENDS),
    ("J13 no Host", post(host=None), 400, ENDS),
    ("J14 two Hosts", post(LENGTH, "Host: localhost"), 400, ENDS),
    ("J15 bare line feeds", post().replace(b"\r\n", b"\n"), 400, ENDS),
    ("J16 a bad percent", post(target=PATH + "?a=%zz"), 400, False),
    ("J16 half a percent", post(target=PATH + "%"), 400, False),
    ("J17 a zero in the path", post(target=PATH + "%00"), 400, False),
    ("J18 two Authorizations", post(LENGTH, "Authorization: a", "Authorization: b"), 400, False),
    ("J19 HTTP/9.9", post(version="HTTP/9.9"), 505, ENDS),
    ("J20 a long URI", post(target=PATH + "?" + "a" * 100_000), 414, ENDS),
    ("J21 a large field", post(LENGTH, "X-A: " + "a" * 100_000), 431, ENDS),
    ("J22 too many fields", post(LENGTH, *[f"X-{i}: a" for i in range(2000)]), 431, ENDS),
    ("J23 a large body, unread", post(f"Content-Length: {1 << 40}"), 413, ENDS),
    ("J26 an odd Expect", post(LENGTH, "Expect: the-unexpected"), 417, False),
    ("J27 traversal", post(target="/v1/simple/../counters/add"), 404, False),
    ("J28 twice encoded", post(target="/v1/counters%252Fadd"), 404, False),
    ("J29 another method", post().replace(b"POST", b"PUT", 1), 405, False),
    ("J30 another one's Host", post(host="Host: attacker.example"), 421, False),
    ("J31 a form of another site", post().replace(b"application/json", b"text/plain", 1), 415, False),
]
SLOW = [
    ("J24 a slow head", post()[:40], 408),
    ("J25 a slow body", post()[:-3], 408),
]


class Connection:
    def __init__(self, endpoint):
        host, port = endpoint.split(":")
        self.socket = socket.create_connection((host, int(port)), SLOW_SECONDS_MAX)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it was refused before all was sent

    def answer(self):
        """(status, body); status 0 if there is none."""
        received = b""
        try:
            while b"\r\n\r\n" not in received and (more := self.socket.recv(65536)):
                received += more
            head, _, body = received.partition(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
            while len(body) < length and (more := self.socket.recv(65536)):
                body += more
        except ConnectionResetError:
            return 0, b""
        return (int(head.split()[1]) if head else 0), body

    def ended(self):
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()


def one(endpoint, tally, row, sent, status, ends):
    connection = Connection(endpoint)
    connection.send(sent)
    got, body = connection.answer()
    tally.check(row, got == status, f"{got} {body[:200]!r}, not {status}")
    if ends:
        tally.check(f"{row}: the connection ends", connection.ended(), "it goes on")
    connection.close()
    served = Connection(endpoint)
    served.send(b"GET /v1/counters/show?name=bad HTTP/1.1\r\nHost: localhost\r\n\r\n")
    got, body = served.answer()
    tally.check(f"{row}: served after it, and nothing was added", got == 200 and not json.loads(body)["exists"], f"{got} {body!r}")
    served.close()


def slow(endpoint, tally, row, sent, status):
    began = time.monotonic()
    connection = Connection(endpoint)
    connection.send(sent)
    got, body = connection.answer()
    tally.check(row, got == status, f"{got} {body[:200]!r} after {time.monotonic() - began:.0f} s, not {status}")
    tally.check(f"{row}: the connection ends", connection.ended())
    connection.close()


def names_of_its_own(endpoint, tally):
    for name in ("lock.example", "store.example:2379", "127.0.0.1", "[::1]:2379"):
        connection = Connection(endpoint)
        connection.send(b"GET /v1/openapi.json HTTP/1.1\r\nHost: " + name.encode() + b"\r\n\r\n")
        tally.check(f"it answers to {name}", connection.answer()[0] == 200)
        connection.close()


def forged_origin(asked, tally):
    """J32: whoever says that it comes from elsewhere is believed by nobody, and served like everybody."""
    answer = asked.ask("POST", PATH, {"name": "forwarded"}, {"X-Forwarded-For": "10.0.0.1", "X-Forwarded-Host": "attacker.example"})
    tally.check("J32 a forged X-Forwarded-For", answer.status == 200 and answer["value"] == 1, answer)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    given = arguments.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        server = servers.lockstepd(given.lockstepd, folder, "--http-hosts", "lock.example,store.example")
        try:
            asked = Asked(server.endpoint, tally)
            waiting = [threading.Thread(target=slow, args=(server.endpoint, tally, *row)) for row in SLOW]
            for thread in waiting:
                thread.start()
            for row in ROWS:
                one(server.endpoint, tally, *row)
            forged_origin(asked, tally)
            names_of_its_own(server.endpoint, tally)
            for thread in waiting:
                thread.join()
            asked.expect("nothing was added", asked.get("/v1/counters/show", name="bad"), 200, exists=False)
        finally:
            ended = server.stop()
        tally.check("the server ends well", ended == 0, f"{ended}\n{server.printed()}")
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(1 if tally.failed else 0)


if __name__ == "__main__":
    main()
