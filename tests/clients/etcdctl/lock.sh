# Locks and elections of the client, which are made of keys, leases and watches.
etcdctl lock resource echo inside
(etcdctl lock resource bash -c 'sleep 1; echo first') &
sleep 0.5
etcdctl lock resource echo second
wait
(timeout 3 etcdctl elect job one > one.txt) &
sleep 1
timeout 1 etcdctl elect --listen job | sed 's#job/.*#job/KEY#'
wait
sed 's#job/.*#job/KEY#' one.txt
