// The remote store for the contract suite, in front of different servers.
#pragma once

#include "store_under_test.h"

namespace lockstep::store_contract {

Implementation memory_through_remote();            // the gateway on a memory store, in virtual time
Implementation etcd_through_remote();              // a real etcd beside us
Implementation lockstepd_through_remote();         // lockstepd as it is deployed, a process beside us
Implementation three_lockstepds_through_remote();  // asked in turn; followers forward
// False: no etcd is installed.
bool etcd_available();

}  // namespace lockstep::store_contract
