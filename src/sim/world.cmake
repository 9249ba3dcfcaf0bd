lockstep_library(sim_world SOURCES event_queue.cc links.cc node.cc world.cc DEPENDS lockstep::env lockstep::base)
lockstep_test(sim_world_test SOURCES event_queue_test.cc links_test.cc world_test.cc toy_test.cc
              DEPENDS lockstep::sim_world)
