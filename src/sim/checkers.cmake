lockstep_library(sim_checkers SOURCES agreement_checker.cc history.cc lease_checker.cc linearizability_checker.cc
                 model_store.cc revision_checker.cc watch_checker.cc
                 DEPENDS lockstep::base)
lockstep_test(sim_checkers_test SOURCES agreement_checker_test.cc lease_checker_test.cc
              linearizability_checker_test.cc revision_checker_test.cc watch_checker_test.cc
              DEPENDS lockstep::sim_checkers)

# What clients do, and the record of it: for simulated members and for real ones.
lockstep_library(sim_workload SOURCES actor.cc workload.cc DEPENDS lockstep::sim_checkers)
