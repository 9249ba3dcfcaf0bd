"""Every kind of request, by every kind of caller, on every kind of range, nested in every way: judged by a real
lockstepd over gRPC and over its JSON gateway, and by the model of a few lines below; a real etcd is asked beside.

usage: auth_matrix.py --lockstepd PROGRAM --source FOLDER

Verdicts are compared: allowed, or refused with which status. Where etcd 3.4 answers otherwise, the case must be one of
STRICTER below, and each of those must occur. The last line is "N passed, N failed".
"""

import argparse
import base64
import collections
import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "clients"))
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
import grpc  # noqa: E402
import servers  # noqa: E402

OPEN, KEEPS = ("a/", "a0"), ("b/", "b0")
# name: password is the name; the permissions of its one role
USERS = {
    "reader": [("read", *OPEN)],
    "writer": [("write", *OPEN)],
    "both": [("read", *OPEN), ("write", *OPEN)],
    "stranger": [("read", *KEEPS), ("write", *KEEPS)],
}
CALLERS = ["root", *USERS, "nobody", "forger", "gone"]

Case = collections.namedtuple("Case", "name path request needs json")
NOTHING, USER, ROOT, ANYBODY = "nothing", "user", "root", "anybody"

# Where etcd 3.4 allows what we refuse, by the first word of the case (docs/decisions/0019-authentication.md).
STRICTER = {
    "nested": "operations in nested transactions are not judged there",
    "prev_kv-in-txn": "what a put in a transaction gives back is not judged there",
    "leased-in-txn": "the lease of a put in a transaction is not judged there",
    "lease": "nobody may use leases there, and sees their keys",
    "alarm": "anybody may set alarms there",
    "compact": "nobody may compact there",
    "empty-txn": "nobody may ask for nothing there",
    "service": "locks and elections there give UNKNOWN for whatever is refused",
    "upkeep": "what an administrator asks is answered to anybody there, or refused in other words",
}


def expected(case, caller):
    """The model: which status the caller gets, None if it is allowed."""
    if case.needs == ANYBODY or caller == "root":
        return None
    if caller == "nobody":
        # "user name is empty". Locks and elections have no code of their own for it, as in etcd.
        return "UNKNOWN" if case.name.startswith("service") else "INVALID_ARGUMENT"
    if caller in ("forger", "gone"):
        return "UNAUTHENTICATED"
    if case.needs in (USER, NOTHING):
        return None
    if case.needs == ROOT:
        return "PERMISSION_DENIED"
    for kind, begin, end in case.needs:
        last = end or begin + "\0"
        if not any(granted == kind and low <= begin and last <= high for granted, low, high in USERS[caller]):
            return "PERMISSION_DENIED"
    return None


def cases(p, leases):
    """All of them. `leases`: of keys in the open range, in the other one, and in both."""
    kv, lease, maintenance = "/etcdserverpb.KV/", "/etcdserverpb.Lease/", "/etcdserverpb.Maintenance/"
    read = lambda key, end="": ("read", key, end)  # noqa: E731
    write = lambda key, end="": ("write", key, end)  # noqa: E731
    made = []

    def add(name, path, request, needs, gateway=None):
        made.append(Case(name, path, request, needs, gateway))

    spans = {"inside": ("a/1", ""), "inside-range": ("a/1", "a/9"), "outside": ("b/1", ""), "partly": ("a/1", "b/1"),
             "whole": ("a/", "a0")}
    puts = {"inside": "a/1", "outside": "b/1"}
    operations = []
    for name, (key, end) in spans.items():
        fields = {"key": key.encode(), "range_end": end.encode()}
        operations.append((f"range-{name}", "", p.RequestOp(request_range=p.RangeRequest(**fields)), [read(key, end)]))
        operations.append((f"count-{name}", "", p.RequestOp(request_range=p.RangeRequest(count_only=True, **fields)),
                           [read(key, end)]))
        operations.append((f"delete-{name}", "", p.RequestOp(request_delete_range=p.DeleteRangeRequest(**fields)),
                           [write(key, end)]))
        operations.append((f"delete-back-{name}", "",
                           p.RequestOp(request_delete_range=p.DeleteRangeRequest(prev_kv=True, **fields)),
                           [write(key, end), read(key, end)]))
    for name, key in puts.items():
        put = {"key": key.encode(), "value": b"v"}
        operations.append((f"put-{name}", "", p.RequestOp(request_put=p.PutRequest(**put)), [write(key)]))
        operations.append((f"put-back-{name}", "prev_kv-in-txn",
                           p.RequestOp(request_put=p.PutRequest(prev_kv=True, **put)), [write(key), read(key)]))
        for where, keys in (("open", ["a/leased"]), ("kept", ["b/leased"]), ("both", ["a/leased2", "b/leased2"])):
            operations.append((f"put-{name}-lease-{where}", "leased-in-txn",
                               p.RequestOp(request_put=p.PutRequest(lease=leases[where], **put)),
                               [write(key), *(write(one) for one in keys)]))
    plain = {"request_range": ("Range", "kv/range"), "request_put": ("Put", "kv/put"),
             "request_delete_range": ("DeleteRange", "kv/deleterange")}
    never = p.Compare(key=b"a/1", target=p.Compare.VERSION, result=p.Compare.LESS)
    for name, in_txn, operation, needs in operations:
        kind = operation.WhichOneof("request")
        rpc, gateway = plain[kind]
        add(name, kv + rpc, getattr(operation, kind), needs, gateway)
        prefix = in_txn or "txn"
        add(f"{prefix} success {name}", kv + "Txn", p.TxnRequest(success=[operation]), needs, "kv/txn")
        # A branch that is not taken counts as well. Its compare reads a/1.
        add(f"{prefix} other-branch {name}", kv + "Txn", p.TxnRequest(compare=[never], success=[operation]),
            [read("a/1"), *needs], "kv/txn")
        for depth in (1, 3):
            for branch in ("success", "failure"):
                nested = p.TxnRequest(**{branch: [operation]})
                for _ in range(depth - 1):
                    nested = p.TxnRequest(success=[p.RequestOp(request_txn=nested)])
                add(f"nested {depth} {branch} {name}", kv + "Txn", p.TxnRequest(success=[p.RequestOp(request_txn=nested)]),
                    needs, "kv/txn")
    for name, (key, end) in spans.items():
        compare = p.Compare(key=key.encode(), range_end=end.encode(), target=p.Compare.VERSION, result=p.Compare.GREATER)
        add(f"compare {name}", kv + "Txn", p.TxnRequest(compare=[compare]), [read(key, end)], "kv/txn")
        add(f"nested compare {name}", kv + "Txn",
            p.TxnRequest(success=[p.RequestOp(request_txn=p.TxnRequest(compare=[compare]))]), [read(key, end)], "kv/txn")
        add(f"watch {name}", "/etcdserverpb.Watch/Watch", p.WatchRequest(
            create_request=p.WatchCreateRequest(key=key.encode(), range_end=end.encode())), [read(key, end)])
    add("empty-txn", kv + "Txn", p.TxnRequest(), USER, "kv/txn")
    add("compact", kv + "Compact", p.CompactionRequest(revision=1), USER, "kv/compaction")
    for where, keys in (("open", ["a/leased"]), ("kept", ["b/leased"]), ("both", ["a/leased2", "b/leased2"])):
        add(f"lease keys {where}", lease + "LeaseTimeToLive", p.LeaseTimeToLiveRequest(ID=leases[where], keys=True),
            [read(one) for one in keys], "lease/timetolive")
        add(f"lease alone {where}", lease + "LeaseTimeToLive", p.LeaseTimeToLiveRequest(ID=leases[where]), USER,
            "lease/timetolive")
        add(f"lease renewed {where}", lease + "LeaseKeepAlive", p.LeaseKeepAliveRequest(ID=leases[where]), USER)
        add(f"lease revoked {where}", lease + "LeaseRevoke", p.LeaseRevokeRequest(ID=leases[where]),
            [write(one) for one in keys], "lease/revoke")
    add("lease granted", lease + "LeaseGrant", p.LeaseGrantRequest(TTL=1000), USER, "lease/grant")
    add("lease list", lease + "LeaseLeases", p.LeaseLeasesRequest(), USER, "lease/leases")
    add("alarm set", maintenance + "Alarm", p.AlarmRequest(action=p.AlarmRequest.DEACTIVATE, alarm=p.NOSPACE, memberID=77),
        ROOT, "maintenance/alarm")
    for rpc, request in (("Defragment", p.DefragmentRequest()), ("Snapshot", p.SnapshotRequest())):
        add(f"upkeep {rpc}", maintenance + rpc, request, ROOT)
    for rpc, request in (("MemberAdd", p.MemberAddRequest()), ("MemberRemove", p.MemberRemoveRequest(ID=77)),
                         ("MemberUpdate", p.MemberUpdateRequest(ID=77, peerURLs=["http://127.0.0.1:9"])),
                         ("MemberPromote", p.MemberPromoteRequest(ID=77))):
        add(f"upkeep {rpc}", "/etcdserverpb.Cluster/" + rpc, request, ROOT)
    add("upkeep MemberList", "/etcdserverpb.Cluster/MemberList", p.MemberListRequest(), USER, "cluster/member/list")
    add("upkeep Status", maintenance + "Status", p.StatusRequest(), USER, "maintenance/status")
    for rpc, request in (("UserAdd", p.AuthUserAddRequest(name="both", password="x")),
                         ("UserDelete", p.AuthUserDeleteRequest(name="none")), ("UserList", p.AuthUserListRequest()),
                         ("UserChangePassword", p.AuthUserChangePasswordRequest(name="none", password="x")),
                         ("UserGrantRole", p.AuthUserGrantRoleRequest(user="none", role="both")),
                         ("UserRevokeRole", p.AuthUserRevokeRoleRequest(name="none", role="both")),
                         ("UserGet", p.AuthUserGetRequest(name="root")), ("RoleGet", p.AuthRoleGetRequest(role="unheld")),
                         ("RoleAdd", p.AuthRoleAddRequest(name="both")), ("RoleDelete", p.AuthRoleDeleteRequest(role="none")),
                         ("RoleList", p.AuthRoleListRequest()),
                         ("RoleRevokePermission", p.AuthRoleRevokePermissionRequest(role="none", key=b"a")),
                         ("RoleGrantPermission", p.AuthRoleGrantPermissionRequest(
                             name="none", perm=p.Permission(key=b"a")))):
        add(f"auth {rpc}", "/etcdserverpb.Auth/" + rpc, request, ROOT)
    for name, key in puts.items():
        begin, end = key + "/", key + "0"
        add(f"service Leader {name}", "/v3electionpb.Election/Leader", p.LeaderRequest(name=key.encode()), [read(begin, end)],
            "election/leader")
        add(f"service Unlock {name}", "/v3lockpb.Lock/Unlock", p.UnlockRequest(key=key.encode()), [write(key)], "lock/unlock")
        add(f"service Lock {name}", "/v3lockpb.Lock/Lock", p.LockRequest(name=key.encode()),
            [write(begin, end), read(begin, end)])
        add(f"service Campaign {name}", "/v3electionpb.Election/Campaign", p.CampaignRequest(name=key.encode(), value=b"v"),
            [write(begin, end), read(begin, end)])
    return made


def messages(source, folder):
    """The protocol's messages, made from our own definitions."""
    protos = sorted((source / "src" / "proto").glob("*.proto"))
    subprocess.run(["protoc", "-I", str(source / "src"), f"--python_out={folder}", *map(str, protos)], check=True)
    sys.path.insert(0, folder)
    everything = {}
    for proto in protos:
        everything.update(vars(importlib.import_module(f"proto.{proto.stem}_pb2")))
    return collections.namedtuple("Messages", [name for name in everything if not name.startswith("_")])(
        **{name: value for name, value in everything.items() if not name.startswith("_")})


STREAMS = ("/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive", "/etcdserverpb.Maintenance/Snapshot")


class Asked:
    """One server with users, keys, leases and logins."""

    def __init__(self, server, p):
        self.server, self.p = server, p
        self.channel = grpc.insecure_channel(server.endpoint)
        self.tokens = {"nobody": None, "forger": "made.up", "gone": None}
        self.leases = {}
        self.prepare()

    def call(self, path, request, token=None, timeout=20):
        """The answer's bytes, or grpc.RpcError."""
        metadata = (("token", token),) if token else None
        if path in STREAMS:
            if path.endswith("Snapshot"):
                answers = self.channel.unary_stream(path, lambda m: m.SerializeToString())(request, timeout, metadata=metadata)
            else:
                answers = self.channel.stream_stream(path, lambda m: m.SerializeToString())(
                    iter([request]), timeout, metadata=metadata)
            first = next(iter(answers))
            answers.cancel()
            return first
        return self.channel.unary_unary(path, lambda m: m.SerializeToString())(request, timeout, metadata=metadata)

    def auth(self, rpc, request, token=None):
        return self.call("/etcdserverpb.Auth/" + rpc, request, token)

    def login(self, name):
        answer = self.auth("Authenticate", self.p.AuthenticateRequest(name=name, password=name))
        return self.p.AuthenticateResponse.FromString(answer).token

    def as_root(self, rpc, request):
        """With a token of its own: where they live for seconds, one may end before it is used."""
        for _ in range(20):
            try:
                return self.auth(rpc, request, self.login("root"))
            except grpc.RpcError as refused:
                if "invalid auth token" not in refused.details():
                    raise
        raise RuntimeError("tokens do not live long enough to be used")

    def prepare(self):
        p = self.p
        for name in ("root", "gone", *USERS):
            self.auth("UserAdd", p.AuthUserAddRequest(name=name, password=name))
            self.auth("RoleAdd", p.AuthRoleAddRequest(name=name))
            self.auth("UserGrantRole", p.AuthUserGrantRoleRequest(user=name, role=name))
        self.auth("RoleAdd", p.AuthRoleAddRequest(name="unheld"))
        for name, granted in USERS.items():
            kinds = {kind for kind, _, _ in granted}
            kind = p.Permission.READWRITE if len(kinds) == 2 else p.Permission.READ if "read" in kinds else p.Permission.WRITE
            self.auth("RoleGrantPermission", p.AuthRoleGrantPermissionRequest(name=name, perm=p.Permission(
                permType=kind, key=granted[0][1].encode(), range_end=granted[0][2].encode())))
        self.reset()
        self.auth("AuthEnable", p.AuthEnableRequest())
        for name in ("root", "gone", *USERS):
            self.tokens[name] = self.login(name)
        self.as_root("UserDelete", p.AuthUserDeleteRequest(name="gone"))

    def reset(self):
        """What allowed requests may have changed: keys and leases are there."""
        p, root = self.p, self.tokens.get("root")
        wanted = {"open": (11, ["a/leased"]), "kept": (12, ["b/leased"]), "both": (13, ["a/leased2", "b/leased2"])}
        for name, (lease, keys) in wanted.items():
            self.leases[name] = lease
            try:
                self.call("/etcdserverpb.Lease/LeaseGrant", p.LeaseGrantRequest(ID=lease, TTL=100000), root)
            except grpc.RpcError as there:
                assert "already exists" in there.details(), there
            for key in keys:
                self.call("/etcdserverpb.KV/Put", p.PutRequest(key=key.encode(), value=b"v", lease=lease), root)
        # What is left of locks and elections would make the next ones wait.
        for key, end in ((b"a/1/", b"a/10"), (b"b/1/", b"b/10")):
            self.call("/etcdserverpb.KV/DeleteRange", p.DeleteRangeRequest(key=key, range_end=end), root)
        for key in (b"a/1", b"b/1"):
            self.call("/etcdserverpb.KV/Put", p.PutRequest(key=key, value=b"v"), root)

    def verdict(self, case, caller):
        """The status of a refusal for who asks; None for everything else."""
        try:
            answer = self.call(case.path, case.request, self.tokens[caller], timeout=10)
        except grpc.RpcError as refused:
            return self.of_words(refused.code().name, refused.details())
        except StopIteration:
            return None
        if case.path.endswith("/Watch"):
            watch = self.p.WatchResponse.FromString(answer)
            return self.of_words("PERMISSION_DENIED", watch.cancel_reason) if watch.canceled else None
        return None

    @staticmethod
    def of_words(code, words):
        if "permission denied" in words:
            return "PERMISSION_DENIED" if code != "UNKNOWN" else "UNKNOWN"
        if "user name is empty" in words:
            return "INVALID_ARGUMENT" if code != "UNKNOWN" else "UNKNOWN"
        if "invalid auth token" in words:
            return "UNAUTHENTICATED" if code != "UNKNOWN" else "UNKNOWN"
        return None  # judged, and refused for another reason

    def gateway_verdict(self, case, caller):
        from google.protobuf import json_format
        body = json_format.MessageToJson(case.request, preserving_proto_field_name=True).encode()
        request = urllib.request.Request(f"http://{self.server.endpoint}/v3/{case.json}", body,
                                         {"Content-Type": "application/json"})
        if self.tokens[caller]:
            request.add_header("Authorization", self.tokens[caller])
        try:
            urllib.request.urlopen(request, timeout=10).read()
            return None
        except urllib.error.HTTPError as refused:
            answer = json.loads(refused.read())
            codes = {2: "UNKNOWN", 3: "INVALID_ARGUMENT", 7: "PERMISSION_DENIED", 16: "UNAUTHENTICATED"}
            return self.of_words(codes.get(answer.get("code"), "OTHER"), answer.get("message", ""))


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, expected_verdict, got):
        if expected_verdict == got:
            self.passed += 1
        else:
            self.failed += 1
            print(f"FAILED {what}: expected {expected_verdict or 'allowed'}, got {got or 'allowed'}", flush=True)


def run_matrix(lockstepd, etcd, p, tally):
    used = collections.Counter()
    for case in cases(p, lockstepd.leases):
        for caller in CALLERS:
            verdict = lockstepd.verdict(case, caller)
            tally.check(f"{case.name} by {caller}", expected(case, caller), verdict)
            if case.json is not None:
                tally.check(f"/v3 {case.name} by {caller}", expected(case, caller), lockstepd.gateway_verdict(case, caller))
            theirs = etcd.verdict(case, caller)
            if theirs != verdict:
                kind = case.name.split()[0]
                used[kind] += 1
                if kind not in STRICTER or verdict is None:
                    tally.check(f"etcd, {case.name} by {caller}", theirs, verdict)
            if (verdict is None or theirs is None) and any(word in case.name for word in ("delete", "revoked", "service")):
                for asked in (lockstepd, etcd):
                    asked.reset()
    for kind, why in STRICTER.items():
        print(f"stricter than etcd 3.4 in {used[kind]:4} verdicts: {kind}: {why}")
        tally.check(f"{kind} is still stricter than etcd", True, used[kind] > 0)


def run_expiry(program, folder, p, tally):
    """A token that was good and is so no longer."""
    server = servers.lockstepd(program, folder, "--token-ttl", "3s")
    try:
        asked = Asked(server, p)
        everything = cases(p, asked.leases)
        probe = next(case for case in everything if case.name == "range-inside")
        deadline = time.monotonic() + 60
        while None in (asked.verdict(probe, "reader"), asked.verdict(probe, "root")) and time.monotonic() < deadline:
            time.sleep(0.1)
        for case in everything:
            if case.name.split()[0] not in ("nested", "leased-in-txn", "prev_kv-in-txn"):
                tally.check(f"{case.name} with an expired token", "UNAUTHENTICATED", asked.verdict(case, "root"))
        asked.as_root("AuthDisable", p.AuthDisableRequest())
        for case in everything:
            if case.name.startswith(("range", "watch", "lease alone", "compare", "upkeep MemberList", "auth UserList")):
                tally.check(f"{case.name} while authentication is off", None, asked.verdict(case, "nobody"))
    finally:
        server.stop()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lockstepd", required=True)
    arguments.add_argument("--source", required=True)
    options = arguments.parse_args()
    servers.need("etcd", "protoc")
    program = str(pathlib.Path(options.lockstepd).resolve())
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="lockstep-auth-matrix-") as folder:
        p = messages(pathlib.Path(options.source), folder)
        started = [servers.lockstepd(program, folder, "--token-ttl", "3000s"),
                   servers.etcd(folder, "--auth-token-ttl", "3000")]
        try:
            run_matrix(Asked(started[0], p), Asked(started[1], p), p, tally)
        finally:
            for server in started:
                server.stop()
        expiring = pathlib.Path(folder) / "expiring"
        expiring.mkdir()
        run_expiry(program, expiring, p, tally)
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main())
