"""What the scripts print: every answer of the client in one form, so that two servers can be compared line by line.

Left out, because it must differ: cluster and member identities, raft terms, and lease identities, which a server draws.
"""

import os
import queue

import etcd3
import grpc
from etcd3.client import KVMetadata
from etcd3.leases import Lease
from google.protobuf import json_format

HOST, PORT = os.environ["ENDPOINT"].rsplit(":", 1)


def client(**options):
    return etcd3.client(host=HOST, port=int(PORT), timeout=20, **options)


def login(user, password):
    """A client that is logged in. Its token goes as metadata alone: newer gRPC refuses credentials of a call on a
    connection without TLS, which the client attaches beside it."""
    etcd = client(user=user, password=password)
    etcd.call_credentials = etcd.watcher._credentials = None
    return etcd


def _plain(value):
    """Messages as sorted dictionaries without what must differ."""
    if isinstance(value, dict):
        hidden = ("clusterId", "memberId", "raftTerm")
        return {key: ("SOME" if key in ("lease", "ID") else _plain(inner)) for key, inner in sorted(value.items())
                if key not in hidden}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, KVMetadata):
        return {"key": value.key, "create": value.create_revision, "mod": value.mod_revision, "version": value.version,
                "leased": value.lease_id != 0, "at": value.response_header.revision}
    if isinstance(value, Lease):
        return {"granted": value.ttl}
    if hasattr(value, "DESCRIPTOR"):
        return _plain(json_format.MessageToDict(value))
    return value


def show(what, value):
    print(f"{what}: {_plain(value)}", flush=True)


def attempt(what, call):
    """Prints what the call gives, or how it is refused."""
    try:
        result = call()
        if hasattr(result, "__next__"):
            result = list(result)
    except grpc.RpcError as refused:
        print(f"{what}: refused {refused.code().name}: {refused.details()}", flush=True)
        return None
    except Exception as refused:  # the client's own classes, which keep no text of the server
        print(f"{what}: {type(refused).__name__} {refused}", flush=True)
        return None
    show(what, result)
    return result


class Events:
    """What one watch saw, in order, whatever the sizes of the answers that brought it."""

    def __init__(self, etcd, key, **options):
        self.seen = queue.Queue()
        self.etcd = etcd
        self.id = etcd.add_watch_callback(key, self.seen.put, **options)
        self.pending = []

    def next(self):
        while not self.pending:
            answer = self.seen.get(timeout=30)
            self.pending = [answer] if isinstance(answer, Exception) else list(answer.events)
        return self.pending.pop(0)

    def show(self, what, count):
        for _ in range(count):
            event = self.next()
            if isinstance(event, Exception):
                print(f"{what}: {type(event).__name__} {getattr(event, 'compacted_revision', '')}", flush=True)
                continue
            show(what, [type(event).__name__, event.key, event.value, event.create_revision, event.mod_revision, event.version,
                        "before:", event.prev_key, event.prev_value, event.prev_mod_revision])

    def cancel(self):
        self.etcd.cancel_watch(self.id)
