// The contract suite on the remote store. A machine without etcd says so, and runs the rest.
#include <iostream>

#include "contract.h"
#include "stores.h"

namespace lockstep::store_contract {
namespace {

std::vector<Implementation> implementations() {
  std::vector<Implementation> all = {memory_through_remote(), lockstepd_through_remote(),
                                     three_lockstepds_through_remote()};
  if (etcd_available()) {
    all.push_back(etcd_through_remote());
  } else {
    std::cout << "[  LACKS   ] this machine has no etcd: EtcdThroughRemote is not run\n";
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract, ::testing::ValuesIn(implementations()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lockstep::store_contract
