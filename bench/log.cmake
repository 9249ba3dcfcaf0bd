add_executable(log-bench log/main.cc)
target_link_libraries(log-bench PRIVATE lockstep::log lockstep::platform)
