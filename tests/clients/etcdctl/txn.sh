# Transactions with every compare, nested effects and their errors.
etcdctl put k v
etcdctl txn <<'T'
value("k") = "v"

put k w
get k
del nothing

put k never

T
etcdctl txn <<'T'
version("k") > "5"
mod("k") < "100"

put k never

get k

T
etcdctl txn <<'T'
create("absent") = "0"

put absent here

T
etcdctl txn <<'T'
value("absent-too") = ""

put x 1

put y 2

T
etcdctl txn <<'T'

put same 1
put same 2


T
etcdctl get '' --prefix -w fields
