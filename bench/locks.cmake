# Clients of the peers that `./do bench locks` measures beside lockstepd. Their libraries are not part of a setup
# (tools/packages-bench.txt): without them there is nothing to build here.
find_library(LOCKSTEP_HIREDIS hiredis)
find_library(LOCKSTEP_ZOOKEEPER zookeeper_mt)
if(LOCKSTEP_HIREDIS AND LOCKSTEP_ZOOKEEPER)
  add_executable(locks-redis-client EXCLUDE_FROM_ALL locks/redis_client.cc)
  target_include_directories(locks-redis-client PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(locks-redis-client PRIVATE ${LOCKSTEP_HIREDIS})
  add_executable(locks-zookeeper-client EXCLUDE_FROM_ALL locks/zookeeper_client.cc)
  target_include_directories(locks-zookeeper-client PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(locks-zookeeper-client PRIVATE THREADED)
  target_link_libraries(locks-zookeeper-client PRIVATE ${LOCKSTEP_ZOOKEEPER})
endif()
