# Watches from the past and the present, with filters and previous values.
etcdctl put w/1 a
etcdctl put w/1 b
etcdctl put w/2 c
etcdctl del w/2
timeout 3 etcdctl watch w/ --prefix --rev 2 --prev-kv
timeout 3 etcdctl watch w/1 --rev 3
etcdctl compact 4
timeout 3 etcdctl watch w/ --prefix --rev 2
timeout 4 etcdctl watch live > live.txt &
sleep 1
etcdctl put live 1
etcdctl put live 2
etcdctl del live
wait
cat live.txt
