# Build flavours. CMakePresets.json picks one; each has its own build folder.
set(LOCKSTEP_SANITIZE "" CACHE STRING "Sanitizers: empty, address (with undefined) or thread")
option(LOCKSTEP_FUZZ "Build the fuzz targets with libFuzzer" OFF)

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
