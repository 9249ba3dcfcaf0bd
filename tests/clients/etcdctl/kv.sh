# Keys, ranges, every output format, and what is refused.
etcdctl put a 1
etcdctl put b 2 --prev-kv
etcdctl put b 3 --prev-kv
etcdctl put c ''
etcdctl get a
etcdctl get a --print-value-only
etcdctl get '' --prefix
etcdctl get a c
etcdctl get '' --from-key --keys-only
etcdctl get '' --prefix --limit 2 --order DESCEND --sort-by KEY
etcdctl get '' --prefix --sort-by VERSION --order DESCEND
etcdctl get b --rev 3
etcdctl get b --rev 99
etcdctl get nothing
etcdctl get a -w json
etcdctl get a -w fields
etcdctl del nothing
etcdctl del a b --prev-kv
etcdctl del '' --from-key
etcdctl put '' x
etcdctl put lease-less v --lease 1234
etcdctl put d 1 --ignore-value
etcdctl put binary "$(printf '\001\002')"
etcdctl get binary --hex
head -c 2000000 /dev/zero | tr '\0' x | etcdctl put large
