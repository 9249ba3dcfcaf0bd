# Leases: granted, renewed, listed, revoked, run out.
lease=$(etcdctl lease grant 100 | awk '{print $2}')
etcdctl put leased v --lease "$lease"
etcdctl lease timetolive "$lease" --keys
etcdctl lease keep-alive --once "$lease"
etcdctl lease list | head -1
etcdctl lease revoke "$lease"
etcdctl get leased
etcdctl lease timetolive "$lease"
etcdctl lease revoke "$lease"
etcdctl lease keep-alive --once "$lease"
short=$(etcdctl lease grant 2 | awk '{print $2}')
etcdctl put short v --lease "$short"
sleep 5
etcdctl get short
etcdctl lease grant 0
etcdctl lease grant 99999999999
