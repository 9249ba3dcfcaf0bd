#include "lockstep/idempotency.h"

#include <atomic>
#include <stdexcept>

#include "call.h"
#include "convert.h"
#include "lockstep/client.h"
#include "recipes.h"

namespace lockstep::v1 {

using detail::CallContext;
using detail::make_operation;
using detail::Runtime;
using detail::Waits;

namespace detail {
namespace {

::lockstep::Task<void> abandon_in_background(std::shared_ptr<Runtime> runtime, std::string key,
                                             service::IdempotencyToken token) {
  runtime->release_began();
  // An error: its time passes.
  (void)co_await runtime->recipes().idempotency.abandon(std::move(key), std::move(token),
                                                        runtime->release_options());
  runtime->release_ended();
}

}  // namespace

class BegunWork {
 public:
  BegunWork(std::shared_ptr<Runtime> used, std::string of, service::IdempotencyToken by)
      : runtime(std::move(used)), key(std::move(of)), token(std::move(by)) {}
  BegunWork(const BegunWork&) = delete;
  BegunWork& operator=(const BegunWork&) = delete;
  ~BegunWork() {
    if (over) return;
    runtime->post(
        [kept = runtime, key = key, token = token] { abandon_in_background(kept, key, token).detach(); });
  }

  const std::shared_ptr<Runtime> runtime;
  const std::string key;
  const service::IdempotencyToken token;
  std::atomic<bool> over = false;
};

}  // namespace detail

namespace {

::lockstep::Task<Outcome<Begun>> begin_body(CallContext context, service::IdempotencyBegin begin) {
  const std::string key = begin.key;
  LS_SDK_ASSIGN(service::IdempotencyState state,
                co_await context.recipes().idempotency.begin(std::move(begin), context.options));
  std::shared_ptr<detail::BegunWork> work;
  if (state.kind == service::IdempotencyState::Kind::first) {
    work = std::make_shared<detail::BegunWork>(context.runtime, key, std::move(state.token));
  }
  co_return Begun(static_cast<Begun::Kind>(state.kind), std::move(state.answer), std::move(work));
}
static_assert(static_cast<int>(Begun::Kind::mismatch) ==
              static_cast<int>(service::IdempotencyState::Kind::mismatch));
static_assert(static_cast<int>(Begun::Kind::done) == static_cast<int>(service::IdempotencyState::Kind::done));

::lockstep::Task<Outcome<void>> complete_body(CallContext context, std::shared_ptr<detail::BegunWork> work,
                                              std::string answer, std::chrono::nanoseconds keep) {
  const Status status = co_await context.recipes().idempotency.complete(
      work->key, work->token, std::move(answer), keep, context.options);
  // Only a certain refusal leaves something to be abandoned.
  if (status.ok() || is_unknown(status)) work->over = true;
  co_return detail::to_outcome(status);
}

::lockstep::Task<Outcome<void>> abandon_body(CallContext context, std::shared_ptr<detail::BegunWork> work) {
  const Status status =
      co_await context.recipes().idempotency.abandon(work->key, work->token, context.options);
  if (status.ok()) work->over = true;
  co_return detail::to_outcome(status);
}

// Of a first.
const std::shared_ptr<Runtime>& runtime_of(const std::shared_ptr<detail::BegunWork>& work) {
  if (work == nullptr) throw std::logic_error("lockstep: only a first completes or abandons");
  return work->runtime;
}

}  // namespace

Begun::Begun(Kind kind, std::string answer, std::shared_ptr<detail::BegunWork> work)
    : kind_(kind), answer_(std::move(answer)), work_(std::move(work)) {}
Begun::Begun(Begun&&) noexcept = default;
Begun& Begun::operator=(Begun&&) noexcept = default;
Begun::~Begun() = default;

Operation<void> Begun::complete(std::string answer, std::chrono::nanoseconds keep, CallOptions options) {
  return make_operation(runtime_of(work_), std::move(options), Waits::no, &complete_body, work_,
                        std::move(answer), keep);
}

Operation<void> Begun::abandon(CallOptions options) {
  return make_operation(runtime_of(work_), std::move(options), Waits::no, &abandon_body, work_);
}

Txn& Begun::owned(Txn& txn) const {
  if (work_ != nullptr) {
    detail::parts_of(txn).request.compare.push_back(service::Idempotency::owned(work_->key, work_->token));
  }
  return txn;
}

void Begun::leave_in_progress() {
  if (work_ != nullptr) work_->over = true;
}

Operation<Begun> Idempotency::begin(std::string fingerprint, CallOptions options) const {
  service::IdempotencyBegin begin;
  begin.key = key_;
  begin.fingerprint = std::move(fingerprint);
  begin.in_progress_time = time_;
  return make_operation(runtime_, std::move(options), Waits::no, &begin_body, std::move(begin));
}

Idempotency Client::idempotency(std::string key) {
  return Idempotency(runtime_, std::move(key));
}

}  // namespace lockstep::v1
