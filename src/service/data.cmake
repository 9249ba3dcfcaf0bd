# Recipes on shared data: their sources, in the order of the alphabet, and their tests.
target_sources(lockstep_service PRIVATE
  combiner/combiner.cc combiner/commit.cc combiner/shared_leases.cc
  counter/counter.cc)
lockstep_test(service_data_test
  SOURCES counter/counter_test.cc
  DEPENDS lockstep::service lockstep::replica)
