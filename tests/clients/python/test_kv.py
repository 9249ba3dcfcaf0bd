"""Keys and ranges: every order, limits by the raw request, history, and what is refused."""

from etcd3 import etcdrpc
from said import attempt, client, show

etcd = client()
attempt("put", lambda: etcd.put("a", "1"))
attempt("put again, with the value before", lambda: etcd.put("a", "2", prev_kv=True))
attempt("put a first time, with the value before", lambda: etcd.put("b", "3", prev_kv=True))
attempt("empty value", lambda: etcd.put("c", ""))
attempt("bytes", lambda: etcd.put(b"\x01\xff", b"\xfe\x00"))
attempt("bytes back", lambda: etcd.get(b"\x01\xff"))
attempt("get", lambda: etcd.get("a"))
attempt("get serializable", lambda: etcd.get("a", serializable=True))
attempt("get nothing", lambda: etcd.get("nothing"))
for i, name in enumerate(("p/x", "p/y", "p/z", "q/x", "p/y")):
    etcd.put(name, str(9 - i))
attempt("prefix", lambda: etcd.get_prefix("p/"))
attempt("prefix, keys only", lambda: etcd.get_prefix("p/", keys_only=True))
attempt("range", lambda: etcd.get_range("p/x", "p/z"))
attempt("empty range", lambda: etcd.get_range("p/z", "p/x"))
for target in ("key", "version", "create", "mod", "value"):
    for order in ("ascend", "descend"):
        attempt(f"all by {target} {order}", lambda: etcd.get_all(sort_order=order, sort_target=target))
attempt("whole answer", lambda: etcd.get_response("a"))
attempt("if absent, absent", lambda: etcd.put_if_not_exists("fresh", "1"))
attempt("if absent, present", lambda: etcd.put_if_not_exists("fresh", "2"))
attempt("replace", lambda: etcd.replace("fresh", "1", "2"))
attempt("replace another", lambda: etcd.replace("fresh", "1", "3"))


def raw(**fields):
    return etcd.kvstub.Range(etcdrpc.RangeRequest(**fields), 20)


everything = {"key": b"\0", "range_end": b"\0"}
attempt("limit", lambda: raw(limit=2, **everything))
attempt("limit and order", lambda: raw(limit=2, sort_order=etcdrpc.RangeRequest.DESCEND, sort_target=etcdrpc.RangeRequest.MOD,
                                       **everything))
attempt("negative limit", lambda: raw(limit=-1, **everything))
attempt("count only", lambda: raw(count_only=True, **everything))
attempt("of revisions", lambda: raw(min_mod_revision=4, max_mod_revision=7, **everything))
attempt("of creations", lambda: raw(min_create_revision=4, max_create_revision=7, limit=1, **everything))
attempt("in the past", lambda: raw(key=b"a", revision=2))
attempt("in the future", lambda: raw(key=b"a", revision=1000))
attempt("no key", lambda: etcd.get(""))
attempt("put of no key", lambda: etcd.put("", "x"))
attempt("delete of no key", lambda: etcd.delete(""))
attempt("lease of nobody", lambda: etcd.put("leased", "x", lease=4242))
attempt("too large", lambda: etcd.put("large", "x" * (2 << 20)))
attempt("keeps the value of nothing", lambda: etcd.kvstub.Put(etcdrpc.PutRequest(key=b"none", ignore_value=True), 20))
attempt("keeps and gives a value", lambda: etcd.kvstub.Put(etcdrpc.PutRequest(key=b"a", value=b"x", ignore_value=True), 20))
attempt("keeps and gives a lease", lambda: etcd.kvstub.Put(etcdrpc.PutRequest(key=b"a", lease=1, ignore_lease=True), 20))
attempt("keeps its value", lambda: etcd.kvstub.Put(etcdrpc.PutRequest(key=b"a", ignore_value=True, prev_kv=True), 20))
attempt("delete", lambda: etcd.delete("a", prev_kv=True, return_response=True))
attempt("delete nothing", lambda: etcd.delete("a"))
attempt("delete a prefix", lambda: etcd.delete_prefix("p/"))
attempt("compact", lambda: etcd.compact(6))
attempt("compacted", lambda: raw(key=b"a", revision=3))
attempt("just not compacted", lambda: raw(key=b"a", revision=6))
attempt("compact again", lambda: etcd.compact(6))
attempt("compact the future", lambda: etcd.compact(999))
show("at the end", list(etcd.get_all()))
