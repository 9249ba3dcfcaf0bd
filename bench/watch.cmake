add_executable(watch-bench watch/main.cc ../src/watch/test_store.cc)
target_link_libraries(watch-bench PRIVATE lockstep::watch)
