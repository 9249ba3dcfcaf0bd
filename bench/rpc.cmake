add_executable(rpc-echo-server rpc/echo_server.cc)
target_link_libraries(rpc-echo-server PRIVATE lockstep::platform lockstep::rpc lockstep::allocator)
