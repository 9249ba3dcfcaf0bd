#include "service/transaction/keys.h"

#include <algorithm>

#include "base/assert.h"

namespace lockstep::service::transaction {
namespace {

bool is_name(std::string_view name, std::size_t bytes_max) {
  const auto good = [](char letter) { return letter > ' ' && letter <= '~' && letter != '/'; };
  return !name.empty() && name.size() <= bytes_max && std::all_of(name.begin(), name.end(), good);
}

std::string joined(std::string_view prefix, std::string_view name) {
  std::string key;
  key.reserve(prefix.size() + name.size());
  return key.append(prefix).append(name);
}

}  // namespace

std::string definition_key(std::string_view gid) {
  return joined(definitions_prefix, gid);
}
std::string branches_prefix(std::string_view gid) {
  return definition_key(gid) + "/";
}
std::string branch_key(std::string_view gid, std::string_view branch) {
  return branches_prefix(gid).append(branch);
}
std::string unfinished_key(std::string_view gid) {
  return joined(unfinished_prefix, gid);
}
std::string finished_key(std::string_view gid) {
  return joined(finished_prefix, gid);
}
std::string audits_prefix(std::string_view gid) {
  return joined(audit_prefix, gid) + "/";
}
std::string remembered_key(std::string_view gid) {
  return joined(remembered_prefix, gid);
}
Result<std::string> audit_key(std::string_view gid, std::int64_t number) {
  const std::string digits = std::to_string(number);
  if (number <= 0 || digits.size() > 10)
    return Status(Code::resource_exhausted, "transaction: it has too many audits");
  return audits_prefix(gid) + std::string(10 - digits.size(), '0') + digits;
}
std::string end_of_prefix(std::string_view prefix) {
  LS_MUST(!prefix.empty() && static_cast<unsigned char>(prefix.back()) < 0xFF);
  std::string end(prefix);
  ++end.back();
  return end;
}

namespace errors {
Status gid_wrong() {
  return {Code::invalid_argument, "transaction: a gid has 1 to " + std::to_string(gid_bytes_max) +
                                      " printable ASCII characters, without space and \"/\""};
}
Status branch_wrong() {
  return {Code::invalid_argument, "transaction: a branch's id has 1 to " + std::to_string(branch_bytes_max) +
                                      " printable ASCII characters, without space and \"/\""};
}
}  // namespace errors

Status check_gid(std::string_view gid) {
  return is_name(gid, gid_bytes_max) ? Status() : errors::gid_wrong();
}
Status check_branch(std::string_view branch) {
  return is_name(branch, branch_bytes_max) ? Status() : errors::branch_wrong();
}

}  // namespace lockstep::service::transaction
