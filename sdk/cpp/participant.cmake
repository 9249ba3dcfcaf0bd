# lockstep::participant and its databases: archives of their own, which need nothing of liblockstep.a. A database whose
# client library is missing is left out.
set(participant_sources
  src/participant/barrier.cc
  src/participant/branch.cc
  src/participant/outbox.cc
  src/participant/outbox_relay.cc
  src/participant/participant.cc
  src/participant/sql.cc
  src/participant/xa.cc
  src/participant/xa_resource.cc)

function(lockstep_participant_library name)
  add_library(${name} STATIC ${ARGN})
  target_compile_definitions(${name} PRIVATE LOCKSTEP_IMPLEMENTATION)
  target_include_directories(${name} PUBLIC "${CMAKE_CURRENT_SOURCE_DIR}/include"
                                     PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/src")
endfunction()

lockstep_participant_library(lockstep_participant ${participant_sources})
add_library(lockstep::participant ALIAS lockstep_participant)
add_dependencies(sdk_archive lockstep_participant)
install(FILES "$<TARGET_FILE:lockstep_participant>" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT sdk)
# With the planted bugs, for the tests.
lockstep_participant_library(lockstep_participant_planted ${participant_sources})
target_compile_definitions(lockstep_participant_planted PRIVATE LOCKSTEP_PLANTED_BUGS)

# lockstep_participant_database(name source pkg-config-module debian-package)
function(lockstep_participant_database name source module package)
  pkg_check_modules(${name}_client QUIET IMPORTED_TARGET ${module})
  if(NOT ${name}_client_FOUND)
    message(STATUS "lockstep::participant_${name} is left out: ${module} was not found (Debian: ${package})")
    return()
  endif()
  lockstep_participant_library(lockstep_participant_${name} ${source})
  add_library(lockstep::participant_${name} ALIAS lockstep_participant_${name})
  add_dependencies(sdk_archive lockstep_participant_${name})  # one target brings all that is installed
  target_link_libraries(lockstep_participant_${name} PUBLIC lockstep::participant PRIVATE PkgConfig::${name}_client)
  install(FILES "$<TARGET_FILE:lockstep_participant_${name}>" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT sdk)
endfunction()

lockstep_participant_database(postgres src/participant/postgres.cc libpq libpq-dev)
lockstep_participant_database(mariadb src/participant/mariadb.cc libmariadb libmariadb-dev)
lockstep_participant_database(sqlite src/participant/sqlite.cc sqlite3 libsqlite3-dev)
