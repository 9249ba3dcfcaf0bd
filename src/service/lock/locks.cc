#include "service/lock/locks.h"

#include <algorithm>
#include <utility>

#include "service/contenders.h"
#include "service/names.h"
#include "service/waiting.h"

namespace lockstep::service {
namespace {

// An error waits so long for what was taken to be given back.
constexpr Duration give_back_wait_max = 30s;

std::string key_of(const std::string& name, LockMode mode, LeaseId session) {
  return contender_key(mode == LockMode::exclusive ? name : name + "/r", session);
}

// Writers wait for all before them, readers for writers. Readers' keys lie behind the digits of writers'.
Keys before(const std::string& name, LockMode mode) {
  const std::string prefix = name + "/";
  return {prefix, mode == LockMode::exclusive ? prefix_end(prefix) : prefix + "r/"};
}

Status check_lock_name(const std::string& name) {
  LS_RETURN_IF_ERROR(check_name(name));
  return name.ends_with("/r") ? errors::lock_name_reserved() : Status();
}

// What stays of a holding that was released once.
LeaveRequest leave_request(const Context& context, std::string key, Revision token) {
  LeaveRequest leave;
  leave.key = std::move(key);
  leave.token = token;
  leave.remaining = [context](const store::KeyValue& own) -> std::optional<std::string> {
    HolderValue value = decode_holder(own.value);
    if (value.count <= 1) return std::nullopt;
    --value.count;
    value.attempt = new_attempt(context);
    return encode(value);
  };
  return leave;
}

// Once, for certain, or the session is over.
Task<void> release_once(Context context, SessionPtr session, std::string key, Revision token,
                        store::Principal principal) {
  store::CallOptions options;
  options.principal = principal;
  LeaveRequest leave = leave_request(context, std::move(key), token);
  leave.session = std::move(session);
  static_cast<void>(co_await leave_line(context, std::move(leave), options));
}

Task<void> give_back(Context context, SessionPtr session, std::vector<HeldLock> taken,
                     store::Principal principal, Signal given_back) {
  for (HeldLock& lock : taken) {
    co_await release_once(context, session, std::move(lock.key), lock.token, principal);
  }
  given_back.set();
}

LineRequest line_request(const Context& context, const LockRequest& request, const SessionPtr& session,
                         store::Principal principal) {
  HolderValue value;
  value.description = request.description;
  value.since_ms = wall_ms(context);
  value.attempt = new_attempt(context);
  LineRequest line;
  line.key = key_of(request.name, request.mode, session->id());
  line.value = encode(value);
  line.before.push_back(before(request.name, request.mode));
  line.forbidden.push_back(
      key_of(request.name, request.mode == LockMode::exclusive ? LockMode::shared : LockMode::exclusive,
             session->id()));
  line.wait = request.wait;
  line.again = [context, reentrant = request.reentrant](const store::KeyValue& own, bool served) {
    HolderValue again = decode_holder(own.value);
    if (!served) {
      again.count = 0;  // whoever is served counts itself
    } else if (reentrant || again.count == 0) {
      again.count = std::min(again.count + 1, holding_count_max);
    }
    again.attempt = new_attempt(context);
    return encode(again);
  };
  if (request.reentrant) {
    line.undo_again = [context, session, principal](const Ownership& ownership, const std::string&) {
      return release_once(context, session, ownership.key, ownership.token, principal);
    };
  }
  return line;
}

HeldLock held_lock(const LockRequest& request, const Entered& entered) {
  HeldLock held;
  held.name = request.name;
  held.mode = request.mode;
  held.token = entered.ownership.token;
  held.session = entered.ownership.lease;
  held.key = entered.ownership.key;
  held.count = decode_holder(entered.value).count;
  held.header = entered.ownership.header;
  held.was_held = entered.was_inside && !request.reentrant;
  return held;
}

Status acquire_error(const Status& why) {
  if (why == errors::would_wait()) return errors::lock_held();
  if (why == errors::session_in_conflict()) return errors::lock_mode_conflict();
  return why;
}

Task<Result<HeldLock>> acquire_one(Task<Result<Entered>> entering, LockRequest request) {
  const Result<Entered> entered = co_await std::move(entering);
  if (!entered.ok()) co_return acquire_error(entered.status());
  co_return held_lock(request, *entered);
}

template <class T>
Task<Result<T>> refused(Status why) {
  co_return why;
}

Task<Result<Released>> release_one(Context context, LeaveRequest leave, store::CallOptions options) {
  const Result<Left> left = co_await leave_line(context, std::move(leave), std::move(options));
  if (!left.ok()) co_return left.status();
  Released released;
  released.header = left->header;
  if (left->value.has_value()) released.count = decode_holder(*left->value).count;
  co_return released;
}

Task<Status> release_each(Context context, std::vector<HeldLock> held, store::CallOptions options) {
  Status first;
  for (HeldLock& lock : held) {
    LeaveRequest leave = leave_request(context, std::move(lock.key), lock.token);
    const Result<Left> left = co_await leave_line(context, std::move(leave), options);
    if (!left.ok() && first.ok()) first = left.status();
  }
  co_return first;
}

// One after the other, each in line: those who want the same names want them in the same order.
Task<Result<std::vector<HeldLock>>> acquire_each(Context context, std::shared_ptr<Line> line,
                                                 SessionPtr session, MultiLockRequest request,
                                                 store::CallOptions options) {
  std::ranges::sort(request.names);
  const auto [first, last] = std::ranges::unique(request.names);
  request.names.erase(first, last);
  std::vector<HeldLock> held;
  for (std::string& name : request.names) {
    LockRequest one;
    one.name = std::move(name);
    one.mode = request.mode;
    one.wait = request.wait;
    one.description = request.description;
    LineRequest place = line_request(context, one, session, options.principal);
    const Result<Entered> entered = co_await line->enter(session, std::move(place), options);
    if (entered.ok()) {
      held.push_back(held_lock(one, *entered));
      continue;
    }
    // With the session goes what it holds.
    std::erase_if(held, [](const HeldLock& lock) { return lock.was_held; });
    if (session->alive() && !held.empty()) {
      const Signal given_back(context);
      give_back(context, session, std::move(held), options.principal, given_back).detach();
      co_await given_back.wait(context.clock.now() + give_back_wait_max, {});
    }
    co_return acquire_error(entered.status());
  }
  co_return held;
}

}  // namespace

namespace errors {
Status lock_held() {
  return {Code::failed_precondition, "lockstep: the lock is held"};
}
Status lock_mode_conflict() {
  return {Code::failed_precondition,
          "lockstep: the session would wait for itself: it has the lock in the other mode, or one within its "
          "name"};
}
Status lock_count_differs() {
  return {Code::failed_precondition, "lockstep: the lock is held more or less often than believed"};
}
Status lock_name_reserved() {
  return {Code::invalid_argument, "lockstep: the name of a lock does not end with /r"};
}
Status locks_at_once() {
  return {Code::invalid_argument, "lockstep: 1 to 64 locks are taken at once"};
}
}  // namespace errors

Task<Result<HeldLock>> Locks::acquire(SessionPtr session, LockRequest request, store::CallOptions options) {
  if (Status wrong = check_lock_name(request.name); !wrong.ok()) return refused<HeldLock>(wrong);
  if (Status wrong = check(request.description); !wrong.ok()) return refused<HeldLock>(wrong);
  LineRequest line = line_request(context_, request, session, options.principal);
  return acquire_one(line_->enter(std::move(session), std::move(line), std::move(options)),
                     std::move(request));
}

Task<Result<std::vector<HeldLock>>> Locks::acquire_all(SessionPtr session, MultiLockRequest request,
                                                       store::CallOptions options) {
  Status wrong = check(request.description);
  if (request.names.empty() || request.names.size() > locks_at_once_max) wrong = errors::locks_at_once();
  for (const std::string& name : request.names) {
    if (wrong.ok()) wrong = check_lock_name(name);
  }
  if (!wrong.ok()) return refused<std::vector<HeldLock>>(std::move(wrong));
  return acquire_each(context_, line_, std::move(session), std::move(request), std::move(options));
}

Task<Result<Released>> Locks::release(const LockRelease& release, store::CallOptions options) {
  if (Status wrong = check_lock_name(release.name); !wrong.ok()) return refused<Released>(wrong);
  if (release.token <= Revision()) return refused<Released>(errors::stale_token());
  std::string key = key_of(release.name, release.mode, release.session);
  LeaveRequest leave = leave_request(context_, std::move(key), release.token);
  leave.memory = release.memory;
  if (release.count > 1) {
    leave.is_done = [count = release.count](const store::KeyValue& own) -> Result<bool> {
      const std::int64_t now = decode_holder(own.value).count;
      if (now != count && now != count - 1) return errors::lock_count_differs();
      return now == count - 1;
    };
  }
  return release_one(context_, std::move(leave), std::move(options));
}

Task<Status> Locks::release_all(std::vector<HeldLock> held, store::CallOptions options) {
  return release_each(context_, std::move(held), std::move(options));
}

}  // namespace lockstep::service
