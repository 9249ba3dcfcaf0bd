# That ./do bench etcd runs and prints its table; the figures of a debug build mean nothing.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME bench_etcd_smoke_test
         COMMAND "${Python3_EXECUTABLE}" "${CMAKE_CURRENT_SOURCE_DIR}/etcd/compare.py"
                 --lockstepd "$<TARGET_FILE:lockstepd>" --lockstep "$<TARGET_FILE:lockstep>" --etcd etcd=/usr/bin/etcd
                 --only put-one-3 --only kill --events 1 --seconds 1 --folder "${CMAKE_CURRENT_BINARY_DIR}")
set_tests_properties(bench_etcd_smoke_test PROPERTIES PASS_REGULAR_EXPRESSION "gap in writes, leader killed, worst" TIMEOUT 600)
