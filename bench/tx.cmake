# The loads of `./do bench tx`: they submit transactions and are their participants.
find_package(Boost 1.81 REQUIRED)
find_package(Threads REQUIRED)
add_executable(tx-load EXCLUDE_FROM_ALL tx/load.cc)
target_include_directories(tx-load PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(tx-load PRIVATE Boost::headers Threads::Threads)
add_executable(tx-recovery EXCLUDE_FROM_ALL tx/recovery.cc)
target_include_directories(tx-recovery PRIVATE ${PROJECT_SOURCE_DIR})
target_link_libraries(tx-recovery PRIVATE Boost::headers Threads::Threads)
