add_executable(bench_store_apply store/apply.cc)
target_link_libraries(bench_store_apply PRIVATE lockstep::store)

add_executable(bench_store_persistence store/persistence.cc)
target_link_libraries(bench_store_persistence PRIVATE lockstep::store lockstep::engine_rocksdb)
