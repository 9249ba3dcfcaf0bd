"""Watches: of a key, a prefix, from the past, with previous values, filtered, cancelled, compacted, on a stream by hand."""

import queue

import etcd3
from etcd3 import etcdrpc
from said import Events, attempt, client, show

etcd = client()
live = Events(etcd, "k", prev_kv=True)
etcd.put("k", "1")
etcd.put("k", "2")
etcd.put("unseen", "x")
etcd.delete("k")
etcd.put("k", "3")
live.show("live", 4)
past = Events(etcd, "k", start_revision=2)
past.show("from the past", 4)
prefix = Events(etcd, "p/", range_end=etcd3.utils.increment_last_byte(b"p/"))
etcd.transaction(compare=[], success=[etcd.transactions.put("p/a", "1"), etcd.transactions.put("p/b", "2")], failure=[])
etcd.delete_prefix("p/")
prefix.show("prefix", 4)
future = Events(etcd, "f", start_revision=11)
etcd.put("f", "9")
etcd.put("f", "10")
etcd.put("f", "11")
future.show("from the future", 1)
prefix.cancel()
etcd.put("p/c", "after the cancellation")
show("cancelled sees nothing", prefix.seen.empty())
attempt("once", lambda: etcd.watch_once("k", timeout=1))
etcd.compact(4)
Events(etcd, "k", start_revision=3).show("compacted", 1)


class Stream:
    """A watch stream whose requests are made by hand."""

    def __init__(self):
        self.requests = queue.Queue()
        self.answers = etcd.watcher._watch_stub.Watch(iter(self.requests.get, None))

    def ask(self, what, count=1, **request):
        self.requests.put(etcdrpc.WatchRequest(**request))
        for _ in range(count):
            answer = next(self.answers)
            if answer.compact_revision != 0:
                # Newer etcds give a reason, and 3.4 does not say where it stands.
                answer.cancel_reason = ""
                answer.header.revision = 0
            show(what, answer)


stream = Stream()
stream.ask("created", create_request=etcdrpc.WatchCreateRequest(key=b"k"))
stream.ask("another", create_request=etcdrpc.WatchCreateRequest(key=b"w"))
stream.ask("compacted", 2, create_request=etcdrpc.WatchCreateRequest(key=b"k", start_revision=1))
stream.ask("cancelled", cancel_request=etcdrpc.WatchCancelRequest(watch_id=1))
stream.ask("no puts", 2, create_request=etcdrpc.WatchCreateRequest(
    key=b"k", start_revision=4, prev_kv=True, filters=[etcdrpc.WatchCreateRequest.NOPUT]))
stream.ask("no deletions", 2, create_request=etcdrpc.WatchCreateRequest(
    key=b"k", start_revision=4, prev_kv=True, filters=[etcdrpc.WatchCreateRequest.NODELETE]))
stream.ask("no key means every key", create_request=etcdrpc.WatchCreateRequest(start_revision=13, range_end=b"\0"))
etcd.put("any", "1")
show("every key", next(stream.answers))
show("end", etcd.get_response("k"))
