if(TARGET lockstep::replica)
  lockstep_library(sim PLANTED
    SOURCES client.cc cluster.cc convergence.cc nemesis.cc nemesis_disk.cc nemesis_members.cc nemesis_network.cc run.cc
            run_options.cc watch_client.cc
            recipes/counter_model.cc recipes/data_models.cc recipes/election_model.cc recipes/fleet.cc recipes/gathering_model.cc
            recipes/limit_model.cc recipes/line_model.cc recipes/line_workload.cc recipes/machine_faults.cc recipes/participants.cc recipes/recipe_run.cc
            recipes/timer_model.cc recipes/topic_model.cc recipes/topic_workload.cc recipes/transaction_model.cc recipes/wire_store.cc recipes/wire_subscription.cc
    DEPENDS lockstep::sim_world lockstep::sim_disk lockstep::sim_checkers lockstep::sim_workload lockstep::replica
            lockstep::service lockstep::timer lockstep::topic lockstep::transaction lockstep::engine)

  foreach(flavour IN ITEMS "" "-planted")
    string(REPLACE "-" "_" suffix "${flavour}")
    add_executable(lockstep-sim${flavour} runner.cc runner_main.cc)
    target_link_libraries(lockstep-sim${flavour} PRIVATE lockstep::sim${suffix})
  endforeach()
  target_sources(lockstep-sim-planted PRIVATE planted_hunt.cc)

  # Whole runs as an ordinary test: the seeds that once found something, and a few that every build must pass.
  add_test(NAME sim_regressions COMMAND lockstep-sim --seeds-file src/sim/seeds/regressions.txt
           WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  add_test(NAME sim_smoke COMMAND lockstep-sim --seeds 20 WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  add_test(NAME sim_recipes_smoke COMMAND lockstep-sim --recipes --seeds 5 WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}")
  set_tests_properties(sim_regressions sim_smoke sim_recipes_smoke PROPERTIES TIMEOUT 900)
endif()
