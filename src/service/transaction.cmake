# Distributed transactions, without sagas, which are a library of their own.
find_package(nlohmann_json REQUIRED)
lockstep_library(transaction PLANTED
  SOURCES
    transaction/keys.cc transaction/state.cc
  DEPENDS lockstep::service
  PRIVATE_DEPENDS nlohmann_json::nlohmann_json)
