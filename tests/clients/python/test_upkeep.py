"""Members, status, alarms, snapshots: what an operator's script asks for, and what has no subject."""

import io

from said import attempt, client, show

etcd = client()
etcd.put("a", "1")
status = etcd.status()
show("says a version", len(status.version.split(".")))
show("has a size", status.db_size > 0)
show("leads", status.leader.name)
show("index moves", status.raft_index > 0 and status.raft_term > 0)
members = list(etcd.members)
show("members", [(member.name, len(member.peer_urls), len(member.client_urls), member.id != 0) for member in members])
attempt("alarms", etcd.list_alarms)
attempt("raise", lambda: [alarm.alarm_type for alarm in etcd.create_alarm(members[0].id)])
attempt("put under the alarm", lambda: etcd.put("a", "2"))
attempt("get under the alarm", lambda: etcd.get("a"))
attempt("delete under the alarm", lambda: etcd.delete("nothing"))
attempt("lease under the alarm", lambda: etcd.lease(100))
attempt("alarms", lambda: [alarm.alarm_type for alarm in etcd.list_alarms()])
attempt("disarm", lambda: [alarm.alarm_type for alarm in etcd.disarm_alarm(members[0].id)])
attempt("alarms", etcd.list_alarms)
attempt("put again", lambda: etcd.put("a", "2"))
attempt("defragment", etcd.defragment)
show("hash", etcd.hash() == etcd.hash())
copy = io.BytesIO()
etcd.snapshot(copy)
show("a snapshot with its digest", [len(copy.getvalue()) > 100, len(copy.getvalue()) % 512])
attempt("remove nobody", lambda: etcd.remove_member(1234))
attempt("update nobody", lambda: etcd.update_member(1234, ["http://127.0.0.1:9"]))
attempt("add without an address", lambda: etcd.add_member([]))
attempt("add the same address", lambda: etcd.add_member(list(members[0].peer_urls)))
