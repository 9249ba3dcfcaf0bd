find_package(Threads REQUIRED)
find_package(GTest REQUIRED)

# For programs (not libraries): jemalloc, whose threads' arenas suit values freed by another thread than the one that
# allocated them; measured 15 % less CPU a read (docs/decisions/0002-dependencies.md). Sanitizers bring their own.
add_library(lockstep_allocator INTERFACE)
add_library(lockstep::allocator ALIAS lockstep_allocator)
if(LOCKSTEP_SANITIZE STREQUAL "")
  find_library(LOCKSTEP_JEMALLOC jemalloc REQUIRED)
  target_link_libraries(lockstep_allocator INTERFACE "${LOCKSTEP_JEMALLOC}")
endif()

# Built by name only: what ./do test runs under ThreadSanitizer, and the link test of every library.
add_custom_target(threaded_tests)
add_custom_target(link_tests)

# lockstep_headers(target SCOPE): the folder's headers, each of which must compile alone (CMake makes the target
# all_verify_interface_header_sets of them). Several libraries of one folder share them: the first one has them.
function(lockstep_headers target scope)
  get_property(taken GLOBAL PROPERTY "lockstep_headers_of_${CMAKE_CURRENT_SOURCE_DIR}")
  if(taken)
    return()
  endif()
  set_property(GLOBAL PROPERTY "lockstep_headers_of_${CMAKE_CURRENT_SOURCE_DIR}" TRUE)
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.h")
  target_sources(${target} ${scope} FILE_SET HEADERS BASE_DIRS "${CMAKE_SOURCE_DIR}/src" FILES ${headers})
endfunction()

# Every object of one library in a program of its own, with nothing but the dependencies that the library
# declares: a use of another layer's code that nobody declared fails to link.
function(lockstep_link_test name)
  add_executable(link_test_${name} EXCLUDE_FROM_ALL "${CMAKE_SOURCE_DIR}/cmake/link_test_main.cc")
  target_link_libraries(link_test_${name} PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,lockstep_${name}>")
  add_dependencies(link_tests link_test_${name})
endfunction()

# The same sources once more with the planted bugs (base/planted.h) compiled in, for test and simulator binaries
# only. Its dependencies are the planted twins where there are any.
function(lockstep_planted_twin name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(lockstep_${name}_planted STATIC ${arg_SOURCES})
  add_library(lockstep::${name}_planted ALIAS lockstep_${name}_planted)
  target_compile_definitions(lockstep_${name}_planted PUBLIC LOCKSTEP_PLANTED_BUGS)
  target_include_directories(lockstep_${name}_planted PUBLIC "${CMAKE_SOURCE_DIR}/src")
  foreach(scope IN ITEMS PUBLIC PRIVATE)
    set(depends ${arg_DEPENDS})
    if(scope STREQUAL PRIVATE)
      set(depends ${arg_PRIVATE_DEPENDS})
    endif()
    foreach(depend IN LISTS depends)
      if(TARGET "${depend}_planted")
        set(depend "${depend}_planted")
      endif()
      target_link_libraries(lockstep_${name}_planted ${scope} ${depend})
    endforeach()
  endforeach()
endfunction()

# lockstep_library(name [PLANTED] SOURCES … DEPENDS …): the library of one folder under src/; with PLANTED also
# its twin lockstep::name_planted.
function(lockstep_library name)
  cmake_parse_arguments(arg "PLANTED" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(lockstep_${name} STATIC ${arg_SOURCES})
  add_library(lockstep::${name} ALIAS lockstep_${name})
  target_include_directories(lockstep_${name} PUBLIC "${CMAKE_SOURCE_DIR}/src")
  target_link_libraries(lockstep_${name} PUBLIC ${arg_DEPENDS} PRIVATE ${arg_PRIVATE_DEPENDS})
  set_target_properties(lockstep_${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  lockstep_headers(lockstep_${name} PUBLIC)
  lockstep_link_test(${name})
  if(arg_PLANTED)
    lockstep_planted_twin(${name} SOURCES ${arg_SOURCES} DEPENDS ${arg_DEPENDS}
                          PRIVATE_DEPENDS ${arg_PRIVATE_DEPENDS})
  endif()
endfunction()

# lockstep_test(name SOURCES … DEPENDS … [ARGS …]): one test binary, known to ctest by its name.
# The tests run in the source folder, so that golden files are found and can be rewritten.
function(lockstep_test name)
  cmake_parse_arguments(arg "THREADED" "TIMEOUT" "SOURCES;DEPENDS;ARGS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} GTest::gtest GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS} WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  if(arg_TIMEOUT)  # otherwise what ./do test gives to all
    set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
  endif()
  if(arg_THREADED)
    set_tests_properties(${name} PROPERTIES LABELS threaded)
    add_dependencies(threaded_tests ${name})
  endif()
endfunction()
