#include "lockstep/transaction.h"

#include <array>
#include <atomic>
#include <charconv>
#include <map>

#include "base/text_values.h"
#include "call.h"
#include "lockstep/client.h"
#include "recipes.h"
#include "service/flat_json.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Runtime;
using detail::Waits;

namespace tx = service::transaction;

namespace detail {

// What builders collect, as parts of a document.
struct TransactionPlan {
  std::string gid;
  std::string steps;  // or targets, or branches: the elements of the list
  std::string definition;
  std::string input;
  std::map<std::string, std::string> services;
  std::string retry;
  std::string timeout;
  std::string check;
  std::string check_after;
  bool not_text = false;  // something that must be UTF-8 is not
};

struct OpenedTransaction {
  std::shared_ptr<Runtime> runtime;
  std::string gid;
  std::atomic<bool> left = false;  // the destructor does nothing
  OpenedTransaction(std::shared_ptr<Runtime> in, std::string of)
      : runtime(std::move(in)), gid(std::move(of)) {}
  OpenedTransaction(const OpenedTransaction&) = delete;
  OpenedTransaction& operator=(const OpenedTransaction&) = delete;
  ~OpenedTransaction();
};

}  // namespace detail

namespace {

std::string quoted(const std::string& text, bool* not_text) {
  *not_text = *not_text || !service::is_utf8(text);
  if (!service::is_utf8(text)) return "\"\"";
  constexpr std::string_view begin = "{\"\":";
  const std::string object = service::FlatJsonWriter().text("", text).str();
  return object.substr(begin.size(), object.size() - begin.size() - 1);
}

// One member, with a comma before it unless it is the first one.
void add(std::string* members, std::string_view name, const std::string& json) {
  if (!members->empty()) *members += ",";
  members->append("\"").append(name).append("\":").append(json);
}

TransactionInfo to_info(const tx::TransactionView& view) {
  TransactionInfo info;
  info.gid = view.gid;
  info.state = static_cast<TransactionState>(view.state.verdict);
  info.reason = view.state.reason;
  info.needs_operator = view.state.needs_operator;
  info.result = view.state.result;
  return info;
}
static_assert(static_cast<int>(TransactionState::submitted) == static_cast<int>(tx::Verdict::running));
static_assert(static_cast<int>(TransactionState::trying) == static_cast<int>(tx::Verdict::waiting));
static_assert(static_cast<int>(TransactionState::committing) == static_cast<int>(tx::Verdict::committing));
static_assert(static_cast<int>(TransactionState::aborting) == static_cast<int>(tx::Verdict::aborting));
static_assert(static_cast<int>(TransactionState::committed) == static_cast<int>(tx::Verdict::committed));
static_assert(static_cast<int>(TransactionState::aborted) == static_cast<int>(tx::Verdict::aborted));
static_assert(static_cast<int>(TransactionState::failed) == static_cast<int>(tx::Verdict::failed));

// The document of a plan; empty if it cannot be one.
std::string document_of(tx::Mode mode, const detail::TransactionPlan& plan) {
  bool not_text = plan.not_text;
  std::string members;
  if (mode == tx::Mode::saga) {
    std::string steps;
    add(&steps, "steps", "[" + plan.steps + "]");
    if (!plan.retry.empty()) add(&steps, "retry", plan.retry);
    add(&members, "definition", plan.definition.empty() ? "{" + steps + "}" : plan.definition);
    std::string services;
    for (const auto& [name, address] : plan.services) {
      const std::string key = quoted(name, &not_text);
      add(&services, std::string_view(key).substr(1, key.size() - 2), quoted(address, &not_text));
    }
    if (!services.empty()) add(&members, "services", "{" + services + "}");
    if (!plan.input.empty()) add(&members, "input", plan.input);
  }
  if (mode == tx::Mode::message) {
    add(&members, "check", quoted(plan.check, &not_text));
    if (!plan.check_after.empty()) add(&members, "check_after", quoted(plan.check_after, &not_text));
    add(&members, "targets", "[" + plan.steps + "]");
  }
  if (mode == tx::Mode::tcc) {
    if (!plan.steps.empty()) add(&members, "branches", "[" + plan.steps + "]");
    if (!plan.retry.empty()) add(&members, "retry", plan.retry);
  }
  if (!plan.timeout.empty()) add(&members, "timeout", quoted(plan.timeout, &not_text));
  return not_text ? std::string() : "{" + members + "}";
}

::lockstep::Task<Outcome<TransactionInfo>> no_branches_body(CallContext) {
  co_return Error(Code::invalid_argument, "a TCC that the coordinator tries has branches: branch()");
}

::lockstep::Task<Outcome<OpenTransaction>> branches_tried_body(CallContext) {
  co_return Error(Code::invalid_argument, "its branches are tried by the coordinator: submit() or run() it");
}

::lockstep::Task<Outcome<TransactionInfo>> submit_body(CallContext context, tx::Submission submission,
                                                       bool run) {
  if (submission.document.empty()) co_return Error(Code::invalid_argument, "names and addresses are UTF-8");
  LS_SDK_ASSIGN(const tx::Submitted submitted,
                co_await context.recipes().transactions.submit(std::move(submission), context.options));
  if (!run || submitted.transaction.finished()) co_return to_info(submitted.transaction);
  LS_SDK_ASSIGN(const tx::TransactionView view,
                co_await context.recipes().transactions.wait(submitted.transaction.gid, context.options));
  co_return to_info(view);
}

::lockstep::Task<Outcome<OpenTransaction>> open_body(CallContext context, tx::Submission submission) {
  if (submission.document.empty()) co_return Error(Code::invalid_argument, "names and addresses are UTF-8");
  const bool message = submission.mode == tx::Mode::message;
  LS_SDK_ASSIGN(const tx::Submitted submitted,
                co_await context.recipes().transactions.submit(std::move(submission), context.options));
  auto opened = std::make_shared<detail::OpenedTransaction>(context.runtime, submitted.transaction.gid);
  opened->left = message;  // its check decides
  co_return OpenTransaction(std::move(opened));
}

::lockstep::Task<Outcome<TransactionInfo>> show_body(CallContext context, std::string gid) {
  LS_SDK_ASSIGN(const tx::TransactionView view,
                co_await context.recipes().transactions.get(std::move(gid), context.options));
  co_return to_info(view);
}

::lockstep::Task<Outcome<TransactionInfo>> wait_body(CallContext context, std::string gid) {
  LS_SDK_ASSIGN(const tx::TransactionView view,
                co_await context.recipes().transactions.wait(std::move(gid), context.options));
  co_return to_info(view);
}

::lockstep::Task<Outcome<void>> branch_body(CallContext context, std::string gid, std::string document) {
  if (document.empty()) co_return Error(Code::invalid_argument, "names and addresses are UTF-8");
  LS_SDK_ASSIGN([[maybe_unused]] const tx::TransactionView view,
                co_await context.recipes().transactions.register_branch(std::move(gid), std::move(document),
                                                                        context.options));
  co_return Nothing{};
}

::lockstep::Task<Outcome<TransactionInfo>> decide_body(CallContext context,
                                                       std::shared_ptr<detail::OpenedTransaction> opened,
                                                       bool commit) {
  LS_SDK_ASSIGN(const tx::TransactionView view,
                co_await context.recipes().transactions.decide(opened->gid, commit, context.options));
  opened->left = true;
  co_return to_info(view);
}

::lockstep::Task<Outcome<void>> abort_body(CallContext context, std::string gid) {
  co_return detail::to_outcome(
      (co_await context.recipes().transactions.decide(std::move(gid), false, context.options)).status());
}

tx::Submission submission_of(tx::Mode mode, const detail::TransactionPlan& plan) {
  tx::Submission submission;
  submission.mode = mode;
  submission.gid = plan.gid;
  submission.document = document_of(mode, plan);
  return submission;
}

std::string text_of(std::chrono::milliseconds time) {
  return show_duration(time);
}

// A branch of a TCC; empty if it cannot be one. Without an address to try, its owner tries it.
std::string branch_text(const std::string& id, const std::string& try_address, const TccBranch& branch) {
  bool not_text = false;
  std::string members;
  add(&members, "id", quoted(id, &not_text));
  if (!try_address.empty()) add(&members, "try", quoted(try_address, &not_text));
  add(&members, "confirm", quoted(branch.confirm, &not_text));
  add(&members, "cancel", quoted(branch.cancel, &not_text));
  if (!branch.payload.empty()) add(&members, "payload", branch.payload);
  return not_text ? std::string() : "{" + members + "}";
}

}  // namespace

detail::OpenedTransaction::~OpenedTransaction() {
  if (left) return;
  // Nobody hears how that ends; the transaction's time limit says the same.
  make_operation(runtime, CallOptions(), Waits::no, &abort_body, gid).start([](const Outcome<void>&) {});
}

const char* to_string(TransactionState state) {
  return tx::to_string(static_cast<tx::Verdict>(state)).data();
}

Operation<TransactionInfo> Transaction::show(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &show_body, gid_);
}
Operation<TransactionInfo> Transaction::wait(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::yes, &wait_body, gid_);
}

// ---- builders

std::string RetryRule::to_json() const {
  std::string members;
  const auto time = [&](std::string_view name, Duration value) {
    add(&members, name, "\"" + text_of(value) + "\"");
  };
  if (timeout_) time("timeout", *timeout_);
  if (interval_) {
    time("interval", *interval_);
    time("interval_max", interval_max_);
    // Not to_string(): its decimal point is the locale's.
    std::array<char, 64> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), backoff_).ptr;
    add(&members, "backoff", std::string(text.data(), end));
  }
  if (attempts_max_) add(&members, "attempts_max", std::to_string(*attempts_max_));
  if (attempts_alarm_) add(&members, "attempts_alarm", std::to_string(*attempts_alarm_));
  return "{" + members + "}";
}

Saga::Saga(std::shared_ptr<detail::Runtime> runtime, std::string gid)
    : runtime_(std::move(runtime)), plan_(std::make_shared<detail::TransactionPlan>()) {
  plan_->gid = std::move(gid);
}
Saga& Saga::step(const std::string& name, const std::string& action, const std::string& compensate,
                 const std::string& payload) {
  bool& not_text = plan_->not_text;
  std::string members;
  add(&members, "name", quoted(name, &not_text));
  add(&members, "action", quoted(action, &not_text));
  if (!compensate.empty()) add(&members, "compensate", quoted(compensate, &not_text));
  if (!payload.empty()) add(&members, "payload", payload);
  plan_->steps += (plan_->steps.empty() ? "{" : ",{") + members + "}";
  return *this;
}
Saga& Saga::definition(std::string json) {
  plan_->definition = std::move(json);
  return *this;
}
Saga& Saga::input(std::string json) {
  plan_->input = std::move(json);
  return *this;
}
Saga& Saga::service(const std::string& name, const std::string& address) {
  plan_->services[name] = address;
  return *this;
}
Saga& Saga::retry(const RetryRule& rule) {
  plan_->retry = rule.to_json();
  return *this;
}
Saga& Saga::timeout(std::chrono::milliseconds time) {
  plan_->timeout = text_of(time);
  return *this;
}
Operation<TransactionInfo> Saga::submit(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &submit_body,
                        submission_of(tx::Mode::saga, *plan_), false);
}
Operation<TransactionInfo> Saga::run(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::yes, &submit_body,
                        submission_of(tx::Mode::saga, *plan_), true);
}

Tcc::Tcc(std::shared_ptr<detail::Runtime> runtime, std::string gid)
    : runtime_(std::move(runtime)), plan_(std::make_shared<detail::TransactionPlan>()) {
  plan_->gid = std::move(gid);
}
Tcc& Tcc::timeout(std::chrono::milliseconds time) {
  plan_->timeout = text_of(time);
  return *this;
}
Tcc& Tcc::retry(const RetryRule& rule) {
  plan_->retry = rule.to_json();
  return *this;
}
Tcc& Tcc::branch(const std::string& id, const std::string& try_address, const TccBranch& branch) {
  const std::string text = branch_text(id, try_address, branch);
  plan_->not_text = plan_->not_text || text.empty();
  plan_->steps += (plan_->steps.empty() ? "" : ",") + text;
  return *this;
}
Operation<TransactionInfo> Tcc::submit(CallOptions options) const {
  if (plan_->steps.empty()) return make_operation(runtime_, std::move(options), Waits::no, &no_branches_body);
  return make_operation(runtime_, std::move(options), Waits::no, &submit_body,
                        submission_of(tx::Mode::tcc, *plan_), false);
}
Operation<TransactionInfo> Tcc::run(CallOptions options) const {
  if (plan_->steps.empty()) return make_operation(runtime_, std::move(options), Waits::no, &no_branches_body);
  return make_operation(runtime_, std::move(options), Waits::yes, &submit_body,
                        submission_of(tx::Mode::tcc, *plan_), true);
}
Operation<OpenTransaction> Tcc::begin(CallOptions options) const {
  if (!plan_->steps.empty())
    return make_operation(runtime_, std::move(options), Waits::no, &branches_tried_body);
  return make_operation(runtime_, std::move(options), Waits::no, &open_body,
                        submission_of(tx::Mode::tcc, *plan_));
}

TransactionalMessage::TransactionalMessage(std::shared_ptr<detail::Runtime> runtime, std::string gid,
                                           std::string check)
    : runtime_(std::move(runtime)), plan_(std::make_shared<detail::TransactionPlan>()) {
  plan_->gid = std::move(gid);
  plan_->check = std::move(check);
}
TransactionalMessage& TransactionalMessage::deliver_to(const std::string& address,
                                                       const std::string& payload) {
  std::string members;
  add(&members, "url", quoted(address, &plan_->not_text));
  if (!payload.empty()) add(&members, "payload", payload);
  plan_->steps += (plan_->steps.empty() ? "{" : ",{") + members + "}";
  return *this;
}
TransactionalMessage& TransactionalMessage::check_after(std::chrono::milliseconds time) {
  plan_->check_after = text_of(time);
  return *this;
}
Operation<OpenTransaction> TransactionalMessage::prepare(CallOptions options) const {
  return make_operation(runtime_, std::move(options), Waits::no, &open_body,
                        submission_of(tx::Mode::message, *plan_));
}

// ---- the owner's

OpenTransaction::OpenTransaction(std::shared_ptr<detail::OpenedTransaction> opened)
    : opened_(std::move(opened)) {}

const std::string& OpenTransaction::gid() const {
  return opened_->gid;
}
Operation<void> OpenTransaction::branch(const std::string& id, const TccBranch& branch,
                                        CallOptions options) const {
  return make_operation(opened_->runtime, std::move(options), Waits::no, &branch_body, opened_->gid,
                        branch_text(id, {}, branch));
}
Operation<TransactionInfo> OpenTransaction::commit(CallOptions options) const {
  return make_operation(opened_->runtime, std::move(options), Waits::no, &decide_body, opened_, true);
}
Operation<TransactionInfo> OpenTransaction::abort(CallOptions options) const {
  return make_operation(opened_->runtime, std::move(options), Waits::no, &decide_body, opened_, false);
}
void OpenTransaction::leave() const {
  opened_->left = true;
}
Transaction OpenTransaction::transaction() const {
  return Transaction(opened_->runtime, opened_->gid);
}

Saga Client::saga(std::string gid) {
  return Saga(runtime_, std::move(gid));
}
Tcc Client::tcc(std::string gid) {
  return Tcc(runtime_, std::move(gid));
}
TransactionalMessage Client::transactional_message(std::string gid, std::string check) {
  return TransactionalMessage(runtime_, std::move(gid), std::move(check));
}
Transaction Client::transaction(std::string gid) {
  return Transaction(runtime_, std::move(gid));
}

}  // namespace lockstep::v1
