# Build flavours. CMakePresets.json picks one; each has its own build folder.
set(LOCKSTEP_SANITIZE "" CACHE STRING "Sanitizers: empty, address (with undefined) or thread")
option(LOCKSTEP_FUZZ "Build the fuzz targets with libFuzzer" OFF)

# A compiler cache shared by every build folder and every checkout: paths below the source folder count as
# relative ones, and the folder of the build does not count.
find_program(LOCKSTEP_CCACHE ccache)
if(LOCKSTEP_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}" CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros "${LOCKSTEP_CCACHE}")
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough
                    -Wno-c99-designator -Wno-missing-designated-field-initializers)
add_compile_options(-fno-omit-frame-pointer)
add_link_options(-fuse-ld=lld-19)

if(LOCKSTEP_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
elseif(LOCKSTEP_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
elseif(NOT LOCKSTEP_SANITIZE STREQUAL "")
  message(FATAL_ERROR "LOCKSTEP_SANITIZE must be empty, address or thread, not '${LOCKSTEP_SANITIZE}'")
endif()

if(LOCKSTEP_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
