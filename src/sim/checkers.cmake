lockstep_library(sim_checkers SOURCES history.cc linearizability_checker.cc model_store.cc revision_checker.cc
                 DEPENDS lockstep::base)
lockstep_test(sim_checkers_test SOURCES linearizability_checker_test.cc revision_checker_test.cc
              DEPENDS lockstep::sim_checkers)
