# What an operator asks: members, health, alarms, snapshots.
etcdctl endpoint health
etcdctl member list
etcdctl member list -w json | grep -o '"name":"default"'
etcdctl alarm list
etcdctl alarm disarm
etcdctl put a 1
etcdctl snapshot save copy 2> /dev/null | sed 's/at .*//'
test -s copy && echo saved
etcdctl member remove 1234
etcdctl member promote 1234
etcdctl move-leader 1234
etcdctl endpoint hashkv | wc -l
