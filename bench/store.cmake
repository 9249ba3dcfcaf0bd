add_executable(bench_store_apply store/apply.cc)
target_link_libraries(bench_store_apply PRIVATE lockstep::store)
