#include "service/line.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "service/line_contender.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace errors {
Status would_wait() {
  return {Code::failed_precondition, "lockstep: somebody else is first in line"};
}
Status place_lost() {
  return {Code::failed_precondition, "lockstep: the place in line was removed while its owner waited"};
}
Status foreign_key() {
  return {Code::failed_precondition,
          "lockstep: a key under this name belongs to no session, so it would be waited for without end; "
          "delete it (`lockstep kv get --prefix NAME/` shows it) or choose another name"};
}
Status session_in_conflict() {
  return {Code::failed_precondition, "lockstep: the session would wait for itself"};
}
Status too_many_waiters() {
  return {Code::resource_exhausted, "lockstep: too many callers wait in this process"};
}
Status line_not_set_up() {
  return {Code::failed_precondition, "lockstep: the line is not what the caller believes"};
}
Status not_holder() {
  return {Code::failed_precondition, "lockstep: the session does not hold that"};
}
Status stale_token() {
  return {Code::failed_precondition, "lockstep: the token is stale"};
}
}  // namespace errors

Line::Line(const Context& context) : core_(std::make_shared<Core>(context)) {}
Line::~Line() {
  close();
}

void Line::close() {
  core_->close();
}

bool Line::is_closed() const {
  return core_->is_closed();
}

Task<Result<Entered>> Line::enter(SessionPtr session, LineRequest request, store::CallOptions options) {
  return Core::enter(core_, std::move(session), std::move(request), std::move(options));
}

std::size_t Line::waiters() const {
  return core_->waiters();
}

void Line::Core::close() {
  if (std::exchange(closed_, true) || contenders_.empty()) return;
  context_.executor.post([core = shared_from_this()] {
    const std::map<std::uint64_t, ContenderPtr> all = core->contenders_;
    for (const auto& [id, contender] : all) {
      core->refuse(*contender, errors::wait_cancelled());
      contender->wake.set();
    }
  });
}

// The caller's half: hears of the result, or goes.
Task<Result<Entered>> Line::Core::enter(std::shared_ptr<Core> core, SessionPtr session, LineRequest request,
                                        store::CallOptions options) {
  if (!request.sent.has_value()) {  // else there may be something to clean up, whatever happened since
    if (Status gone = still_wanted(core->context_, options); !gone.ok()) co_return gone;
    if (core->closed_) co_return errors::wait_cancelled();
    if (Status over = session->state(); !over.ok()) co_return over;
    if (core->contenders_.size() >= waiters_max) co_return errors::too_many_waiters();
  }
  const auto contender =
      std::make_shared<Contender>(core->context_, std::move(session), std::move(request), options);
  const std::uint64_t id = core->next_id_++;
  core->contenders_.emplace(id, contender);
  work(core, id, contender).detach();
  while (!contender->result.has_value()) {
    const Wake wake = co_await contender->done.wait(options.deadline, options.cancellation);
    if (contender->result.has_value()) break;
    if (wake == Wake::signalled) continue;
    contender->abandoned = true;
    contender->wake.set();
    co_return wake == Wake::deadline ? errors::wait_deadline_over() : errors::wait_cancelled();
  }
  co_return *std::move(contender->result);
}

// The store's half: goes on until nothing is left to do, whether or not the caller is still there.
Task<void> Line::Core::work(std::shared_ptr<Core> core, std::uint64_t id, ContenderPtr contender) {
  const std::stop_callback on_over(contender->session->over(), [wake = contender->wake] { wake.set(); });
  if (co_await core->take_turn(contender)) {
    co_await core->compete(contender);
    LS_MUST(contender->result.has_value() || contender->abandoned);
    if (contender->abandoned || !contender->result->ok()) co_await core->leave(contender);
    core->end_turn(contender->request.key);
  }
  core->contenders_.erase(id);
}

// False: it ended before it began.
Task<bool> Line::Core::take_turn(ContenderPtr contender) {
  const auto [place, is_first] = turns_.try_emplace(contender->request.key);
  if (is_first) co_return true;
  if (!contender->request.wait) {
    refuse(*contender, errors::would_wait());
    co_return false;
  }
  place->second.push_back(contender);
  while (!contender->has_turn) {
    co_await contender->wake.wait(no_deadline, {});
    if (contender->has_turn) break;
    const Status why = unwanted(*contender);
    if (why.ok()) continue;
    std::erase(turns_.at(contender->request.key), contender);
    refuse(*contender, why);
    co_return false;
  }
  co_return true;
}

void Line::Core::end_turn(const std::string& key) {
  const auto found = turns_.find(key);
  LS_MUST(found != turns_.end());
  if (found->second.empty()) {
    turns_.erase(found);
    return;
  }
  const ContenderPtr next = found->second.front();
  found->second.pop_front();
  next->has_turn = true;
  next->wake.set();
}

}  // namespace lockstep::service
