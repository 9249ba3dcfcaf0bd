find_package(Threads REQUIRED)
find_package(GTest REQUIRED)

# lockstep_library(name SOURCES … DEPENDS …): the library of one folder under src/.
function(lockstep_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(lockstep_${name} STATIC ${arg_SOURCES})
  add_library(lockstep::${name} ALIAS lockstep_${name})
  target_include_directories(lockstep_${name} PUBLIC "${CMAKE_SOURCE_DIR}/src")
  target_link_libraries(lockstep_${name} PUBLIC ${arg_DEPENDS} PRIVATE ${arg_PRIVATE_DEPENDS})
endfunction()

# lockstep_test(name SOURCES … DEPENDS … [ARGS …]): one test binary, known to ctest by its name.
# The tests run in the source folder, so that golden files are found and can be rewritten.
function(lockstep_test name)
  cmake_parse_arguments(arg "THREADED" "TIMEOUT" "SOURCES;DEPENDS;ARGS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 600)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
  if(arg_THREADED)
    set_tests_properties(${name} PROPERTIES LABELS threaded)
  endif()
endfunction()
