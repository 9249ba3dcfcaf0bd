# History, until it is compacted.
for i in 1 2 3 4 5; do etcdctl put k $i; done
etcdctl get k --rev 3
etcdctl compact 4
etcdctl get k --rev 3
etcdctl get k --rev 4
etcdctl compact 4
etcdctl compact 99
etcdctl compact 6 --physical
etcdctl defrag
