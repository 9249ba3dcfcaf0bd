# Distributed transactions.
find_package(nlohmann_json REQUIRED)
lockstep_library(transaction PLANTED
  SOURCES
    transaction/coordinator.cc transaction/delivery_machines.cc transaction/document.cc transaction/edits.cc transaction/keys.cc transaction/machines.cc
    transaction/replies.cc
    transaction/state.cc transaction/term.cc transaction/term_step.cc transaction/term_store.cc transaction/term_sweep.cc transaction/transactions.cc
    transaction/transition.cc transaction/two_phase_machine.cc
  DEPENDS lockstep::service lockstep::saga
  PRIVATE_DEPENDS nlohmann_json::nlohmann_json)
lockstep_test(transaction_test
  SOURCES transaction/attempts_test.cc transaction/coordinator_test.cc transaction/faults_test.cc transaction/machines_test.cc transaction/remembering_test.cc transaction/taking_over_test.cc
  DEPENDS lockstep::transaction lockstep::replica)
lockstep_test(transaction_planted_test
  SOURCES transaction/planted_test.cc
  DEPENDS lockstep::transaction_planted lockstep::replica_planted)
