// Where transactions lie in the store (docs/formats/recipes.md).
//
// Pure. gid: 1 to gid_bytes_max printable ASCII characters without '/'; a branch that is registered alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace lockstep::service::transaction {

inline constexpr std::size_t gid_bytes_max = 128;
inline constexpr std::size_t branch_bytes_max = 64;

inline constexpr std::string_view transactions_prefix = "lockstep/tx/";
inline constexpr std::string_view coordinator_key = "lockstep/tx/coordinator";
inline constexpr std::string_view clock_key = "lockstep/tx/clock";
inline constexpr std::string_view definitions_prefix = "lockstep/tx/d/";
inline constexpr std::string_view finished_prefix = "lockstep/tx/f/";
inline constexpr std::string_view unfinished_prefix = "lockstep/tx/t/";
inline constexpr std::string_view audit_prefix = "lockstep/tx/a/";
// Of finished ones that are only remembered: a state without its journal (finished_ones.h).
inline constexpr std::string_view remembered_prefix = "lockstep/tx/r/";
// While it is there no more are submitted: as many are remembered as can be.
inline constexpr std::string_view full_key = "lockstep/tx/full";

std::string definition_key(std::string_view gid);
std::string branches_prefix(std::string_view gid);  // of those registered later
std::string branch_key(std::string_view gid, std::string_view branch);
std::string unfinished_key(std::string_view gid);
std::string finished_key(std::string_view gid);
std::string remembered_key(std::string_view gid);
std::string audits_prefix(std::string_view gid);
// From 1; resource_exhausted beyond ten digits.
Result<std::string> audit_key(std::string_view gid, std::int64_t number);
// The end of the range of keys that begin so.
std::string end_of_prefix(std::string_view prefix);

namespace errors {
Status gid_wrong();     // invalid_argument
Status branch_wrong();  // invalid_argument
}  // namespace errors
Status check_gid(std::string_view gid);
Status check_branch(std::string_view branch);

}  // namespace lockstep::service::transaction
