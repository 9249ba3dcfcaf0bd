// Standing in line: the heart of locks, permits and elections. Whoever enters writes a key; the order of the
// keys' create_revisions is the order of service.
//
//   1. enter() answers ok only if, at the revision in its header, the key was there, belonged to the
//   session's lease,
//      and at most `allowed_before` older keys were in the ranges `before`. The key's create_revision is the
//      token: of two owners, one after the other, the second's is larger (I5).
//   2. A waiter watches only the key right before its own: a key that goes wakes one waiter. Where several
//   are served
//      at once, only the first in line watches those who are; when it is served it tells the next by writing
//      its key.
//   3. Whoever is told an error has no place, and keeps none: if its key cannot be removed at once, that is
//   repeated
//      behind the scenes until it is certain or the session is over. Nothing of a write whose outcome was
//      unknown appears later: see the session's epoch.
//   4. A waiter learns of its session's end, its deadline and its cancellation at once, whatever the store
//   does.
//   5. One contender of a session and a key at a time; the next waits for the one before, also for its
//   cleaning up.
//      So a repetition after an error, or by another member of the cluster, finds its own key and carries on.
//   6. Calls of one session in several processes share its place. Each that is served has written the key
//   before
//      it is told, unless it was the only one; so none removes what another was told that it holds. One that
//      found the place and gives up while it waits removes it: the others are told errors::place_lost.
//   Where their values are the same (elections), one whose write was lost takes the first write of another
//   for its own, and removes that when it gives up, as long as nobody wrote the key again.
//
// Costs: entering is one write; waiting is one watch; being served is one read after the notice, and one
// write more where several are served at once.
//
// Strand only.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "service/contenders.h"
#include "service/context.h"
#include "service/session/session.h"
#include "store/store.h"

namespace lockstep::service {

struct Keys {
  std::string key;
  std::string range_end;
};

// A key and what it must say when somebody enters.
struct Required {
  std::string key;
  std::string value;
};

// The caller has written the key itself, if nothing had been written or called off under it.
struct SentJoin {
  // The put, then newest_of() with two keys of the only range in `before`; nothing: its outcome is unknown.
  std::optional<store::TxnResponse> answer;
};

struct LineRequest {
  std::string key;
  std::string value;         // of the key; differs from attempt to attempt, unless values_differ is false
  std::vector<Keys> before;  // what is older in there goes first
  std::size_t allowed_before = 0;
  std::vector<std::string> forbidden;  // keys that must not exist: errors::session_in_conflict
  std::optional<Required> required;    // else errors::line_not_set_up
  bool wait = true;                    // false: errors::would_wait instead of waiting
  bool refuses_itself = true;          // false: what else its session has in there is waited for, too
  bool patient = true;  // false: what the store says before there is a place is said, not waited out
  // false: who may not touch the session's epoch. An unknown outcome is said, and stays unknown.
  bool calls_off = true;
  // false: an older key of no lease is waited for, as etcd does; else errors::foreign_key.
  bool sessions_only = true;
  bool values_differ = true;  // false: a place of unknown origin may be another call's, and is left alone
  // The session has its place already: the value that its key gets, and whether it is among those served now.
  std::function<std::string(const store::KeyValue& own, bool served)> again;
  std::optional<SentJoin> sent;
  // Undoes what `again` wrote while the session was served, because nobody waits for it any more; may be
  // empty.
  std::function<Task<void>(const Ownership& ownership, const std::string& value)> undo_again;
};

struct Entered {
  Ownership ownership;
  Revision modified;        // the key's mod_revision
  std::string value;        // of the key now
  std::size_t before = 0;   // older keys, at most allowed_before
  bool was_inside = false;  // the session had its place already
};

namespace errors {
Status would_wait();           // failed_precondition: somebody else is before us
Status place_lost();           // failed_precondition: somebody removed our key while we waited
Status foreign_key();          // failed_precondition: an older key belongs to no session
Status session_in_conflict();  // failed_precondition: the session would wait for itself
Status too_many_waiters();     // resource_exhausted
Status line_not_set_up();      // failed_precondition: what the request requires is not so
}  // namespace errors

class Line {
 public:
  // In one process; a waiter takes about a kilobyte.
  static constexpr std::size_t waiters_max = 1'000'000;

  explicit Line(const Context& context);
  ~Line();  // closes it
  // Cancels those who wait, now and from now on; they are answered in a later turn.
  void close();
  [[nodiscard]] bool is_closed() const;
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  // deadline_exceeded and cancelled: not served, and never will be by this call.
  [[nodiscard]] Task<Result<Entered>> enter(SessionPtr session, LineRequest request,
                                            store::CallOptions options);
  // Those whose calls run, and those whose keys are being removed.
  [[nodiscard]] std::size_t waiters() const;

  class Core;
  struct Contender;

 private:
  std::shared_ptr<Core> core_;
};

// How an owner gives up, or gives back one of several: removes the key if its create_revision is `token` and
// `remaining` says so, else writes what it says. What was asked for never hits a key that was written since:
// the session may have come again and found its place. Repeated until its outcome is certain or the options
// end; then unknown_outcome.
// What a call that ended with an unknown outcome had sent, for a call that repeats it.
struct LeaveMemory {
  bool maybe_left = false;
  std::optional<store::KeyValue> written;  // more than once: as it was
  std::optional<std::string> rest;         // what it should become
};
struct LeaveRequest {
  std::string key;
  Revision token;
  Revision modified;  // the key's mod_revision, if it is known and not its token: saves asking
  // What to leave of a key that was written more than once; nothing: remove it.
  std::function<std::optional<std::string>(const store::KeyValue& own)> remaining;
  // Asked before anything is written: true if the key says that this was done already, false to go on, or why
  // not. May be empty.
  std::function<Result<bool>(const store::KeyValue& own)> is_done;
  // If there is one, it is repeated as long as this session lives, whatever the options say.
  SessionPtr session;
  // Of calls before with the same request: then giving back one of several, repeated, happens once.
  std::shared_ptr<LeaveMemory> memory = nullptr;
};
namespace errors {
Status not_holder();   // failed_precondition: nothing is held under that key
Status stale_token();  // failed_precondition: the token is over, something newer is held under that key
}  // namespace errors
// The header, and the value that stays (nothing: removed).
struct Left {
  store::Header header;
  std::optional<std::string> value;
};
Task<Result<Left>> leave_line(Context context, LeaveRequest request, store::CallOptions options);

}  // namespace lockstep::service
