// How places and holdings end: given up, given back.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "service/line_contender.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"
#include "store/errors.h"

namespace lockstep::service {
namespace {

// Leaving is asked for by those who go on afterwards: they do not wait forever without a deadline.
constexpr Duration leave_time_max = 30s;
constexpr Duration leave_pause = 100ms;

}  // namespace

using Stage = Line::Contender::Stage;

// Nothing of us may stand in others' way. A session that is only believed lost may live on, renewed by its
// holder: its place is removed until the store says that its lease is gone.
Task<void> Line::Core::leave(ContenderPtr contender) {
  contender->pause = {};
  while (contender->stage != Stage::outside && !contender->lease_is_gone) {
    if (contender->session->state() == errors::session_closed()) co_return;
    const Stage before = contender->stage;
    if (contender->stage == Stage::unknown) {
      co_await learn(contender);
    } else if (contender->stage == Stage::found || contender->keeps_place) {
      if (contender->counted && contender->request.undo_again) {
        const Ownership ownership{contender->header, contender->request.key, contender->token,
                                  contender->session->id()};
        co_await contender->request.undo_again(ownership, contender->own.value);
      }
      co_return;
    } else if (co_await remove(contender)) {
      co_return;
    }
    // One attempt of each step; the lease will do it.
    if (closed_ && contender->stage == before) co_return;
  }
}

// True: nothing of us is there any more, or it is not ours to remove.
Task<bool> Line::Core::remove(ContenderPtr contender) {
  store::TxnRequest txn;
  txn.compare.push_back(contender->modified == Revision()
                            ? created_at(contender->request.key, contender->token)
                            : modified_at(contender->request.key, contender->modified));
  txn.success.push_back(operation(removal_of(contender->request.key)));
  const Result<store::TxnResponse> answer =
      co_await store::awaitable::txn(context_.store, std::move(txn), call(*contender));
  if (answer.ok()) co_return true;
  co_await endure(contender, answer.status());
  co_return contender->stage == Stage::outside;
}

namespace {

// Until the session is over, and with it what is to be given back.
bool goes_on(const LeaveRequest& request, const Status& why) {
  return request.session != nullptr && request.session->alive() && why.code() != Code::permission_denied &&
         why != store::errors::lease_not_found();
}

// For how long it is repeated.
store::CallOptions options_of(const Context& context, const LeaveRequest& request,
                              store::CallOptions options) {
  options.request_id = {};
  options.deadline = std::min(options.deadline, context.clock.now() + leave_time_max);
  if (request.session == nullptr) return options;
  options.deadline = no_deadline;
  options.cancellation = {};
  return options;
}

Task<Result<Left>> leave_until(Context context, LeaveRequest request, store::CallOptions options) {
  LeaveMemory own_memory;
  auto& [maybe_left, written, rest] = request.memory != nullptr ? *request.memory : own_memory;
  const auto gone = [&](const store::Header& header) -> Result<Left> {
    if (!maybe_left) return errors::not_holder();
    return Left{header, std::nullopt};
  };
  options = options_of(context, request, std::move(options));
  while (true) {
    store::TxnRequest txn;
    txn.compare.push_back(created_at(request.key, request.token));
    if (written.has_value()) {
      txn.compare.push_back(modified_at(request.key, written->mod_revision));
    } else if (request.is_done) {
      txn.compare.push_back(number_is(request.key, store::CompareTarget::version, 0));  // looks first
    } else if (request.modified != Revision()) {
      txn.compare.push_back(modified_at(request.key, request.modified));
    } else {
      txn.compare.push_back(number_is(request.key, store::CompareTarget::version, 1));
    }
    txn.success.push_back(rest.has_value() ? operation(put_of(request.key, *rest, written->lease))
                                           : operation(removal_of(request.key)));
    txn.failure.push_back(operation(one_key(request.key)));
    store::CallOptions call = options;
    call.cancellation = {};  // half way, its outcome would be unknown
    call.deadline = std::min(call.deadline, context.clock.now() + leave_time_max);
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context.store, std::move(txn), call);
    if (answer.ok() && answer->succeeded) co_return Left{answer->header, rest};
    if (answer.ok()) {
      const store::RangeResponse* range = range_at(*answer, 0);
      if (range == nullptr) co_return Status(Code::internal, "lockstep: an answer to another question");
      if (range->kvs.empty()) co_return gone(answer->header);
      const store::KeyValue& own = range->kvs[0];
      if (own.create_revision != request.token) {
        if (maybe_left) co_return gone(answer->header);
        co_return errors::stale_token();
      }
      if (maybe_left && rest.has_value()) {
        if (own.value == *rest) co_return Left{answer->header, rest};
        // Others wrote meanwhile: after ours, or instead of it.
        co_return Status(Code::unknown_outcome, "lockstep: the session gave back twice at the same time");
      }
      if (request.is_done) {
        const Result<bool> done = request.is_done(own);
        if (!done.ok()) co_return done.status();
        if (*done) co_return Left{answer->header, own.value};
      }
      maybe_left = false;  // a removal would show, and cannot happen any more
      written = own;
      rest = request.remaining ? request.remaining(own) : std::nullopt;
      continue;
    }
    const Status why = answer.status();
    if (is_unknown(why)) {
      maybe_left = true;
    } else if (why.code() != Code::unavailable && !goes_on(request, why)) {
      co_return maybe_left ? Status(Code::unknown_outcome, std::string(why.message())) : why;
    }
    if (request.session != nullptr && !request.session->alive()) {
      co_return maybe_left ? Status(Code::unknown_outcome, std::string(why.message())) : why;
    }
    const TimePoint again = context.clock.now() + leave_pause;
    if (!(co_await pause_until(context, again, options)).ok()) {
      co_return maybe_left ? Status(Code::unknown_outcome, std::string(why.message())) : why;
    }
  }
}

}  // namespace

Task<Result<Left>> leave_line(Context context, LeaveRequest request, store::CallOptions options) {
  return leave_until(context, std::move(request), std::move(options));
}

}  // namespace lockstep::service
