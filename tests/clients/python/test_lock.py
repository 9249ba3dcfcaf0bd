"""The client's locks, which are made of keys, leases, transactions and watches.

Waiting is done here, by the watch that the client's own wait would use: Debian's python3-etcd3 cannot wait with Debian's
python3-tenacity, whose newer releases call it with other arguments.
"""

from said import Events, client, show

etcd = client()
first = etcd.lock("resource", ttl=20)
show("acquired", first.acquire())
show("is held", first.is_acquired())
second = client().lock("resource", ttl=20)
show("a second one fails in time", second.acquire(timeout=0))
show("renewed", [answer.TTL for answer in first.refresh()])
free = Events(etcd, second.key)
show("released", first.release())
show("the second sees it", type(free.next()).__name__)
show("the second has it", second.acquire(timeout=0))
show("the first holds", first.is_acquired())
show("the second holds", second.is_acquired())
show("released by who does not hold", first.release())
show("released", second.release())
with etcd.lock("block", ttl=20) as inside:
    show("inside", inside.is_acquired())
show("outside", inside.is_acquired())
brief = etcd.lock("brief", ttl=2)
show("brief", brief.acquire())
gone = Events(etcd, brief.key)
gone.next()
heir = etcd.lock("brief", ttl=20)
show("inherited when the lease ran out", heir.acquire(timeout=0))
