if(TARGET lockstep::replica)
  lockstep_library(sim SOURCES client.cc cluster.cc nemesis.cc nemesis_disk.cc nemesis_members.cc nemesis_network.cc run.cc
                   run_options.cc workload.cc
                   DEPENDS lockstep::sim_world lockstep::sim_disk lockstep::sim_checkers lockstep::replica)
  add_executable(lockstep-sim runner_main.cc)
  target_link_libraries(lockstep-sim PRIVATE lockstep::sim)
endif()
