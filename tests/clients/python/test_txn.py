"""Transactions: every compare, both branches, nesting, and what is refused."""

from etcd3 import etcdrpc
from said import attempt, client, show

etcd = client()
t = etcd.transactions
etcd.put("k", "v")
etcd.put("k", "w")
etcd.put("other", "1")


def holds(what, compare):
    attempt(what, lambda: etcd.transaction(compare=[compare], success=[t.get("k")], failure=[t.get("other")]))


for name, make in (("value", t.value), ("version", t.version), ("create", t.create), ("mod", t.mod)):
    operand = "v" if name == "value" else 2
    for key in ("k", "absent"):
        holds(f"{name} of {key} ==", make(key) == operand)
        holds(f"{name} of {key} !=", make(key) != operand)
        holds(f"{name} of {key} <", make(key) < operand)
        holds(f"{name} of {key} >", make(key) > operand)
attempt("no compare", lambda: etcd.transaction(compare=[], success=[t.put("a", "1"), t.put("b", "2")], failure=[]))
attempt("nothing at all", lambda: etcd.transaction(compare=[], success=[], failure=[]))
attempt("several effects", lambda: etcd.transaction(
    compare=[t.version("k") > 0, t.value("k") == "w"],
    success=[t.put("k", "x", prev_kv=True), t.get("k"), t.delete("other", prev_kv=True), t.delete("nothing")], failure=[]))
attempt("the other branch", lambda: etcd.transaction(
    compare=[t.version("k") > 100], success=[t.put("never", "1")], failure=[t.put("other", "back"), t.get("k")]))
attempt("nested", lambda: etcd.transaction(
    compare=[t.version("k") > 0],
    success=[t.put("outer", "1"),
             t.txn(compare=[t.value("outer") == "1"], success=[t.put("inner", "seen")], failure=[t.put("inner", "unseen")])],
    failure=[]))
attempt("nested twice", lambda: etcd.transaction(
    compare=[], failure=[],
    success=[t.txn(compare=[t.create("none") == 0], failure=[],
                   success=[t.txn(compare=[t.create("k") == 0], success=[], failure=[t.get("k")])])]))
attempt("one key twice", lambda: etcd.transaction(compare=[], success=[t.put("same", "1"), t.put("same", "2")], failure=[]))
attempt("put and delete of one key",
        lambda: etcd.transaction(compare=[], success=[t.put("same", "1"), t.delete("same")], failure=[]))
attempt("deleted twice", lambda: etcd.transaction(compare=[], success=[t.delete("k"), t.delete("k")], failure=[]))
attempt("a key in both branches",
        lambda: etcd.transaction(compare=[t.version("k") > 5], success=[t.put("both", "1")], failure=[t.put("both", "2")]))
attempt("one key twice, nested", lambda: etcd.transaction(
    compare=[], failure=[], success=[t.put("same", "1"), t.txn(compare=[], success=[t.put("same", "2")], failure=[])]))
attempt("128 operations", lambda: etcd.transaction(compare=[], success=[t.get(f"k{i}") for i in range(128)], failure=[]))
attempt("129 operations", lambda: etcd.transaction(compare=[], success=[t.get(f"k{i}") for i in range(129)], failure=[]))
attempt("129 compares", lambda: etcd.transaction(compare=[t.version("k") > 0] * 129, success=[], failure=[]))
attempt("no key in an operation", lambda: etcd.transaction(compare=[], success=[t.put("", "1")], failure=[]))
attempt("no key in a compare", lambda: etcd.transaction(compare=[t.version("") > 0], success=[], failure=[]))
attempt("an empty operation", lambda: etcd.kvstub.Txn(etcdrpc.TxnRequest(success=[etcdrpc.RequestOp()]), 20))
attempt("lease of nobody", lambda: etcd.transaction(compare=[], success=[t.put("leased", "1", lease=77)], failure=[]))
attempt("a future range", lambda: etcd.kvstub.Txn(etcdrpc.TxnRequest(
    success=[etcdrpc.RequestOp(request_range=etcdrpc.RangeRequest(key=b"k", revision=500))]), 20))
attempt("a compare of a range", lambda: etcd.kvstub.Txn(etcdrpc.TxnRequest(
    compare=[etcdrpc.Compare(key=b"a", range_end=b"z", target=etcdrpc.Compare.MOD, result=etcdrpc.Compare.LESS,
                             mod_revision=1000)]), 20))
show("at the end", list(etcd.get_all()))
