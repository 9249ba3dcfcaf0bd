"""Requests that parse as HTTP and mean nothing, to a real lockstepd: JSON bodies (J33 to J48) and gRPC requests (H71 to
H76; H69 and H70 are auth_matrix.py's). Each gets its answer and has no effect, and who behaves is served after each.

usage: bad_requests.py --lockstepd PROGRAM --source FOLDER

The last line is "N passed, N failed".
"""

import argparse
import http.client
import json
import pathlib
import sys
import tempfile

from auth_matrix import messages, servers  # first: it finds what lies beside

import grpc

PUT = b'{"key":"YQ==","value":"Yg=="}'
# row, path, body, what the message must say; each is answered with 400
JSON_ROWS = [
    ("J33 empty", "kv/put", b"", ""),
    ("J34 truncated", "kv/put", PUT[:-1], ""),
    ("J35 bytes after the end", "kv/put", PUT + b"x", ""),
    ("J36 a member twice", "kv/put", b'{"key":"YQ==","key":"Yg=="}', "/key"),
    ("J37 too deep", "kv/put", b'{"key":' + b"[" * 65 + b"]" * 65 + b"}", ""),
    ("J38 NaN", "kv/range", b'{"key":"YQ==","limit":NaN}', "/limit"),
    ("J39 1e400", "kv/range", b'{"key":"YQ==","limit":1e400}', "/limit"),
    ("J40 above 2^63", "kv/range", b'{"key":"YQ==","limit":9223372036854775808}', "/limit"),
    ("J40 above 2^63, as text", "kv/range", b'{"key":"YQ==","limit":"9223372036854775808"}', "/limit"),
    ("J41 half a surrogate pair", "auth/user/get", b'{"name":"\\ud800"}', "/name"),
    ("J42 bad UTF-8", "auth/user/get", b'{"name":"\xff"}', ""),
    ("J43 byte order mark", "kv/put", b"\xef\xbb\xbf" + PUT, ""),
    ("J44 comment", "kv/put", b'{/* a key */"key":"YQ=="}', ""),
    ("J45 wrong type", "kv/range", b'{"key":"YQ==","limit":[]}', "/limit"),
    ("J46 unknown member", "kv/put", b'{"key":"YQ==","colour":"red"}', "colour"),
    ("J47 bad base64", "kv/put", b'{"key":"Y*=="}', "/key"),
    ("J48 negative TTL", "lease/grant", b'{"TTL":"-5"}', "/TTL"),
]


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, holds, seen):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        if not holds:
            print(f"FAILED {what}: {seen}", flush=True)


class Asked:
    def __init__(self, endpoint, p, tally):
        self.p, self.tally = p, tally
        self.endpoint = endpoint
        self.channel = grpc.insecure_channel(endpoint)
        self.healthy = grpc.insecure_channel(endpoint, options=[("grpc.use_local_subchannel_pool", 1)])
        self.writes = 0

    def call(self, channel, path, request):
        return channel.unary_unary("/etcdserverpb." + path, lambda message: message.SerializeToString())(request, 20)

    def expect_healthy(self, row):
        """A client on a connection of its own writes and reads, and its revision says that nobody else wrote."""
        self.writes += 1
        self.call(self.healthy, "KV/Put", self.p.PutRequest(key=b"healthy", value=str(self.writes).encode()))
        everything = self.p.RangeRequest(key=b"\0", range_end=b"\0")
        read = self.p.RangeResponse.FromString(self.call(self.healthy, "KV/Range", everything))
        holds = read.count == 1 and read.kvs[0].value == str(self.writes).encode() and read.header.revision == self.writes + 1
        self.tally.check(f"{row}: who behaves is served, and nothing had an effect", holds, read)

    def post(self, path, body):
        connection = http.client.HTTPConnection(*self.endpoint.split(":"), timeout=20)
        connection.request("POST", "/v3/" + path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, text

    def json_row(self, row, path, body, words):
        status, text = self.post(path, body)
        try:
            message = json.loads(text).get("message", "")
        except ValueError:
            message = None
        self.tally.check(row, status == 400 and message is not None and words in message, (status, text))
        self.expect_healthy(row)

    def grpc_row(self, row, path, request, code):
        try:
            seen = self.call(self.channel, path, request)
        except grpc.RpcError as refused:
            seen = refused.code().name
        self.tally.check(row, seen == code, seen)
        self.expect_healthy(row)


def run(asked, p):
    for row in JSON_ROWS:
        asked.json_row(*row)
    put = p.RequestOp(request_put=p.PutRequest(key=b"a"))
    many = p.RequestOp(request_range=p.RangeRequest(key=b"a"))
    asked.grpc_row("H71 no key", "KV/Put", p.PutRequest(value=b"v"), "INVALID_ARGUMENT")
    asked.grpc_row("H72 a key twice", "KV/Txn", p.TxnRequest(success=[put, put]), "INVALID_ARGUMENT")
    asked.grpc_row("H73 too many operations", "KV/Txn", p.TxnRequest(success=[many] * 129), "INVALID_ARGUMENT")
    asked.grpc_row("H74 too large", "KV/Put", p.PutRequest(key=b"a", value=b"v" * (1600 * 1024)), "INVALID_ARGUMENT")
    asked.grpc_row("H75 the future", "KV/Range", p.RangeRequest(key=b"a", revision=1 << 40), "OUT_OF_RANGE")
    asked.call(asked.healthy, "KV/Compact", p.CompactionRequest(revision=5))
    asked.grpc_row("H75 the compacted past", "KV/Range", p.RangeRequest(key=b"a", revision=2), "OUT_OF_RANGE")
    asked.grpc_row("H76 a lease of nobody", "KV/Put", p.PutRequest(key=b"a", lease=404), "NOT_FOUND")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    arguments.add_argument("--source", required=True)
    options = arguments.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="lockstep-bad-requests-") as folder:
        p = messages(pathlib.Path(options.source), folder)
        server = servers.lockstepd(str(pathlib.Path(options.lockstepd).resolve()), folder)
        try:
            run(Asked(server.endpoint, p, tally), p)
        finally:
            status = server.stop()
        tally.check("lockstepd ends well", status == 0, status)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
