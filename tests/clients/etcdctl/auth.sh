# Users, roles, permissions; what is refused, and in which words.
etcdctl user add root:secret
etcdctl user add reader:r
etcdctl role add readers
etcdctl role grant-permission readers read pub/ --prefix=true
etcdctl role grant-permission readers readwrite own
etcdctl user grant-role reader readers
etcdctl user grant-role reader nobody
etcdctl role get readers
etcdctl user get reader
etcdctl user list
etcdctl role list
etcdctl auth enable
etcdctl user grant-role root root
etcdctl auth enable
etcdctl put pub/a 1
etcdctl --user root:secret put pub/a 1
etcdctl --user root:wrong put pub/a 1
etcdctl --user reader:r get pub/a
etcdctl --user reader:r put pub/a 2
etcdctl --user reader:r put own 2
etcdctl --user reader:r get private
etcdctl --user reader:r get '' --prefix
etcdctl --user reader:r txn <<'T'
value("private") = "x"

get pub/a

T
etcdctl --user reader:r user list
etcdctl --user root:secret user passwd reader --interactive=false <<< new
etcdctl --user reader:r get pub/a
etcdctl --user reader:new get pub/a
etcdctl --user root:secret role revoke-permission readers own
etcdctl --user reader:new put own 3
etcdctl --user root:secret user delete reader
etcdctl --user reader:new get pub/a
etcdctl --user root:secret auth disable
etcdctl get pub/a
