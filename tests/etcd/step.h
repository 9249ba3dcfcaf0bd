// One step of a generated sequence: a request, as etcd and the state machine both get it.
#pragma once

#include <string>

#include "store/testing/requests.h"

namespace lockstep::etcd_test {

using store::testing::Known;
using store::testing::Step;

// The rules of validate.h that are stricter than etcd 3.4: refused here, accepted there.
bool is_stricter_here(const store::TxnRequest& txn, const Known& known);

// One line for a report.
std::string describe(const Step& step);

}  // namespace lockstep::etcd_test
