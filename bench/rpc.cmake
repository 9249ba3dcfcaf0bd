add_executable(rpc-echo-server rpc/echo_server.cc)
target_link_libraries(rpc-echo-server PRIVATE lockstep::platform lockstep::rpc lockstep::allocator)
add_executable(rpc-load-client rpc/load_client.cc)
target_link_libraries(rpc-load-client PRIVATE lockstep::platform lockstep::rpc lockstep::allocator)
