// The contract suite on what needs no other process.
#include "contract.h"

namespace lockstep::store_contract {
namespace {

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract, ::testing::Values(memory(), native(), native_on_disk()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lockstep::store_contract
