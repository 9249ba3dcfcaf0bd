if(TARGET lockstep::replica)
  lockstep_library(sim PLANTED
    SOURCES client.cc cluster.cc nemesis.cc nemesis_disk.cc nemesis_members.cc nemesis_network.cc run.cc
            run_options.cc watch_client.cc workload.cc
    DEPENDS lockstep::sim_world lockstep::sim_disk lockstep::sim_checkers lockstep::replica lockstep::engine)

  foreach(flavour IN ITEMS "" "-planted")
    string(REPLACE "-" "_" suffix "${flavour}")
    add_executable(lockstep-sim${flavour} runner.cc runner_main.cc)
    target_link_libraries(lockstep-sim${flavour} PRIVATE lockstep::sim${suffix})
  endforeach()
endif()
