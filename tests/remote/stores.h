// The remote store for the contract suite, in front of different servers.
#pragma once

#include "store_under_test.h"

namespace lockstep::store_contract {

Implementation memory_through_remote();  // the gateway on a memory store, in virtual time
Implementation etcd_through_remote();    // a real etcd beside us
// False: no etcd is installed.
bool etcd_available();

}  // namespace lockstep::store_contract
