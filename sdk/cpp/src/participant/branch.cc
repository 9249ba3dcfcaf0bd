#include "lockstep/participant/branch.h"

#include <array>
#include <charconv>
#include <utility>

namespace lockstep::v1 {
namespace {

struct OperationRow {
  BranchOperation operation;
  std::string_view name;
  BranchMode mode;
  std::optional<BranchOperation> undoes;
  bool may_refuse;
};

constexpr std::array operations{
    OperationRow{BranchOperation::action, "action", BranchMode::saga, std::nullopt, true},
    OperationRow{BranchOperation::compensate, "compensate", BranchMode::saga, BranchOperation::action, false},
    OperationRow{BranchOperation::attempt, "try", BranchMode::tcc, std::nullopt, true},
    OperationRow{BranchOperation::confirm, "confirm", BranchMode::tcc, std::nullopt, false},
    OperationRow{BranchOperation::cancel, "cancel", BranchMode::tcc, BranchOperation::attempt, false},
    OperationRow{BranchOperation::prepare, "prepare", BranchMode::xa, std::nullopt, true},
    OperationRow{BranchOperation::commit, "commit", BranchMode::xa, std::nullopt, false},
    OperationRow{BranchOperation::rollback, "rollback", BranchMode::xa, BranchOperation::prepare, false},
    OperationRow{BranchOperation::check, "check", BranchMode::message, std::nullopt, true},
    OperationRow{BranchOperation::deliver, "deliver", BranchMode::message, std::nullopt, false},
};
constexpr std::array<std::string_view, 5> modes{"saga", "tcc", "xa", "message", "notification"};

const OperationRow& row_of(BranchOperation operation) {
  return operations[static_cast<std::size_t>(operation)];
}

bool fits(BranchOperation operation, BranchMode mode) {
  return row_of(operation).mode == mode ||
         (mode == BranchMode::notification && operation == BranchOperation::deliver);
}

void check_name(std::string_view header, std::string_view name, std::size_t bytes_max, bool slash) {
  const std::string who(header);
  if (name.empty() || name.size() > bytes_max) {
    throw BadBranch(who + ": 1 to " + std::to_string(bytes_max) + " bytes, not " +
                    std::to_string(name.size()));
  }
  for (const char c : name) {
    if (c <= ' ' || c > '~') throw BadBranch(who + ": printable ASCII without spaces only");
    if (c == '/' && !slash) throw BadBranch(who + ": no '/' in it");
  }
}

std::string required(const BranchContext::HeaderLookup& header, std::string_view name) {
  std::optional<std::string> value = header(name);
  if (!value) throw BadBranch(std::string(name) + ": missing");
  return *std::move(value);
}

std::int64_t number(std::string_view name, const std::string& text, std::int64_t least) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least) {
    throw BadBranch(std::string(name) + ": a whole number from " + std::to_string(least) + " on");
  }
  return value;
}

BranchMode mode_of(std::string_view text) {
  for (std::size_t i = 0; i < modes.size(); ++i) {
    if (modes[i] == text) return static_cast<BranchMode>(i);
  }
  throw BadBranch("Lockstep-Mode: saga, tcc, xa, message or notification");
}

BranchOperation operation_of(std::string_view text) {
  for (const OperationRow& row : operations) {
    if (row.name == text) return row.operation;
  }
  throw BadBranch(
      "Lockstep-Operation: action, compensate, try, confirm, cancel, prepare, commit, rollback, check or "
      "deliver");
}

}  // namespace

std::string_view to_string(BranchMode mode) {
  return modes[static_cast<std::size_t>(mode)];
}

std::string_view to_string(BranchOperation operation) {
  return row_of(operation).name;
}

std::optional<BranchOperation> undone_by(BranchOperation operation) {
  return row_of(operation).undoes;
}

bool may_refuse(BranchOperation operation) {
  return row_of(operation).may_refuse;
}

BranchContext::BranchContext(std::string transaction, std::string branch, BranchMode mode,
                             BranchOperation operation)
    : transaction_(std::move(transaction)), branch_(std::move(branch)), mode_(mode), operation_(operation) {
  check_name("Lockstep-Transaction", transaction_, transaction_id_bytes_max, false);
  check_name("Lockstep-Branch", branch_, branch_id_bytes_max, true);
  if (!fits(operation, mode)) {
    throw BadBranch("Lockstep-Operation: no " + std::string(to_string(operation)) + " in mode " +
                    std::string(to_string(mode)));
  }
}

BranchContext BranchContext::from_headers(const HeaderLookup& header) {
  BranchContext context(required(header, "Lockstep-Transaction"), required(header, "Lockstep-Branch"),
                        mode_of(required(header, "Lockstep-Mode")),
                        operation_of(required(header, "Lockstep-Operation")));
  context.attempt_ = number("Lockstep-Attempt", required(header, "Lockstep-Attempt"), 1);
  context.token_ = number("Lockstep-Token", required(header, "Lockstep-Token"), 0);
  context.round_ = number("Lockstep-Round", header("Lockstep-Round").value_or("0"), 0);
  const std::optional<std::string> key = header("Idempotency-Key");
  if (key && *key != context.idempotency_key()) {
    throw BadBranch("Idempotency-Key: must be " + context.idempotency_key());
  }
  return context;
}

std::string BranchContext::idempotency_key() const {
  return transaction_ + "/" + branch_ + "/" + std::string(to_string(operation_));
}

}  // namespace lockstep::v1
