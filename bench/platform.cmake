add_executable(platform-bench platform/main.cc)
target_link_libraries(platform-bench PRIVATE lockstep::platform)
