// One call of a distributed transaction, as its participant gets it, and what it answers.
//
// The coordinator calls `POST url` with the headers below and the branch's payload as the body. It repeats a
// call until it knows its outcome, so every call may come more than once, late, or out of order: what guards
// against that is barrier.h, and participant.h does it for you.
//
//   Lockstep-Transaction  the transaction: 1 to 128 printable bytes without '/' and spaces
//   Lockstep-Branch       the branch in it: 1 to 128 printable bytes without spaces
//   Lockstep-Operation    action compensate | try confirm cancel | prepare commit rollback | check deliver
//   Lockstep-Mode         saga | tcc | xa | message | notification
//   Lockstep-Attempt      from 1: how often this call was sent
//   Lockstep-Round        absent, or from 1: how often an operator had this step tried again after it had
//   failed Lockstep-Token        the coordinator's epoch, which only grows Idempotency-Key
//   <transaction>/<branch>/<operation>; what is sent must be exactly that
//
// Answers: 200 done, 409 refused for good, 425 still going (ask again later), anything else: unknown, asked
// again with back-off. The text of a body never overrides a status.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "lockstep/abi.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

enum class BranchMode : std::uint8_t { saga, tcc, xa, message, notification };

enum class BranchOperation : std::uint8_t {
  action,      // saga
  compensate,  // saga: undoes an action
  attempt,     // tcc: "try"
  confirm,     // tcc
  cancel,      // tcc: undoes a try
  prepare,     // xa
  commit,      // xa
  rollback,    // xa: undoes a prepare
  check,       // message: was the sender's local transaction committed?
  deliver,     // message, notification
};

// As in the headers: "tcc", "try".
std::string_view to_string(BranchMode mode);
std::string_view to_string(BranchOperation operation);

// The operation that this one undoes; nothing for those that undo none.
std::optional<BranchOperation> undone_by(BranchOperation operation);
// 409 is an outcome of these; of the others it is a request for help.
bool may_refuse(BranchOperation operation);

inline constexpr std::size_t transaction_id_bytes_max = 128;
inline constexpr std::size_t branch_id_bytes_max = 128;
// More of an answer is not kept.
inline constexpr std::size_t branch_answer_bytes_max = 16 * 1024;

// The headers are not those of a branch's call; what() says which one, and why. Answer 400.
class BadBranch : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

class BranchContext {
 public:
  // The value of a header; nothing: the request has none. Names are compared without regard to case.
  using HeaderLookup = std::function<std::optional<std::string>(std::string_view)>;

  // Throws BadBranch.
  static BranchContext from_headers(const HeaderLookup& header);
  // The same for a call that did not come over HTTP. Throws BadBranch.
  BranchContext(std::string transaction, std::string branch, BranchMode mode, BranchOperation operation);

  [[nodiscard]] const std::string& transaction() const { return transaction_; }
  [[nodiscard]] const std::string& branch() const { return branch_; }
  [[nodiscard]] BranchMode mode() const { return mode_; }
  [[nodiscard]] BranchOperation operation() const { return operation_; }
  [[nodiscard]] std::int64_t attempt() const { return attempt_; }
  // 0: nobody asked for another one.
  [[nodiscard]] std::int64_t round() const { return round_; }
  [[nodiscard]] std::int64_t token() const { return token_; }
  // "<transaction>/<branch>/<operation>": for services further down that know Idempotency-Key themselves.
  [[nodiscard]] std::string idempotency_key() const;

 private:
  std::string transaction_;
  std::string branch_;
  BranchMode mode_;
  BranchOperation operation_;
  std::int64_t attempt_ = 1;
  std::int64_t round_ = 0;
  std::int64_t token_ = 0;
};

class BranchAnswer {
 public:
  // 200. The body is the branch's output; up to branch_answer_bytes_max of it is kept.
  static BranchAnswer done(std::string body = {}) { return {200, std::move(body)}; }
  // 409: for good, and without effect.
  static BranchAnswer refused(std::string body = {}) { return {409, std::move(body)}; }
  // 425: not done yet, ask again.
  static BranchAnswer ongoing(std::chrono::seconds again_after = std::chrono::seconds(1)) {
    BranchAnswer answer(425, {});
    answer.retry_after_ = again_after;
    return answer;
  }
  // Any other status; what is neither 2xx, 409 nor 425 is asked again.
  static BranchAnswer of_status(int status, std::string body) { return {status, std::move(body)}; }

  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] const std::string& body() const { return body_; }
  // For the header Retry-After; zero: none.
  [[nodiscard]] std::chrono::seconds retry_after() const { return retry_after_; }
  [[nodiscard]] bool is_done() const { return status_ >= 200 && status_ < 300; }
  [[nodiscard]] bool is_refused() const { return status_ == 409; }
  [[nodiscard]] bool is_ongoing() const { return status_ == 425; }

 private:
  BranchAnswer(int status, std::string body) : status_(status), body_(std::move(body)) {}

  int status_;
  std::string body_;
  std::chrono::seconds retry_after_{0};
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
