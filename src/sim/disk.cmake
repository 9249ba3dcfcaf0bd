lockstep_library(sim_disk SOURCES disk.cc disk_faults.cc disk_inode.cc DEPENDS lockstep::env)
lockstep_test(sim_disk_test SOURCES disk_test.cc DEPENDS lockstep::sim_disk)
