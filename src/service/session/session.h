// A session: somebody who is alive, as long as a lease is renewed. Locks, permits and places in line belong
// to one and end with it.
//
//   1. A session that is over stays over. It is over as soon as its holder can no longer prove that it is
//   not: `ttl`
//      after the last renewal that succeeded was SENT. The store counts from when it received it, so the
//      holder knows first.
//   2. Whoever asks or waits learns of it at once: over() is stopped in the same turn, from the holder's own
//   clock,
//      without asking anybody; a holder whose process was stopped learns it from alive() on its first step.
//   3. Nothing is renewed after that.
//   4. Keys of a lost session stay `lock_delay` longer than the holder believed itself alive: time for what
//   it sent
//      to arrive or die. close() gives up everything at once instead.
//   5. Whoever knows the id may adopt() the session, here or elsewhere, within its ttl, and keeps everything.
//   Nothing
//      that its holder before had sent for a place in line takes effect once the adopter's first call was
//      answered; whoever only speaks for a session (Renewal::elsewhere) promises nothing of the kind.
//   1 and 2 are the holder's. Whoever speaks for a session goes by what the store said last: of an end before
//   that time, by close() or by the store, it learns from a call that fails, or when the time is out.
//
// Costs: one lease, a renewal each ttl/3, one timer. Of the options of open() and adopt(), the principal is
// the session's: its renewals are asked for in its name.
//
// Permissions: places in line read and, after unknown outcomes and when adopted, write session_key(). Who may
// not write lockstep/sessions/ is told permission_denied then, and a place whose write was unknown may stay
// until the session ends: grant it to whoever has sessions.
//
// Strand only. Dropping the last reference stops renewing and gives up nothing: what belongs to the session
// ends with its lease unless it is adopted before.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "base/task.h"
#include "base/time.h"
#include "service/context.h"

namespace lockstep::service {

// Below, one lost message ends a session; above, nobody means a session.
inline constexpr Duration session_ttl_min = 100ms;
inline constexpr Duration session_ttl_max = std::chrono::hours(24 * 365);
inline constexpr Duration lock_delay_max = std::chrono::hours(24);

enum class Renewal : std::uint8_t {
  automatic,
  by_holder,  // who calls renew()
  elsewhere,  // this is not the holder but speaks for it; when the time is out the store is asked whether it
              // was renewed, until it answers; as long as that takes, nothing is known against the session
};

struct SessionOptions {
  Duration ttl = 10s;
  Duration lock_delay{};
  Renewal renewal = Renewal::automatic;
  std::optional<Duration> life_max;  // from now; it is over then, renewed or not
};

namespace errors {
Status session_lost();           // failed_precondition: it was not renewed in time, or the store ended it
Status session_closed();         // failed_precondition: by close()
Status session_life_over();      // failed_precondition: life_max was reached
Status session_not_found();      // not_found: no such session in the store (any more)
Status session_options_wrong();  // invalid_argument: ttl, lock_delay or life_max out of their bounds
}  // namespace errors

class Session : public std::enable_shared_from_this<Session> {
 public:
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] LeaseId id() const { return id_; }
  // As long as it lasts without being renewed; at least what was asked for.
  [[nodiscard]] Duration ttl() const { return ttl_; }
  // When it is over unless it is renewed.
  [[nodiscard]] TimePoint expires_at() const { return expires_at_; }
  [[nodiscard]] bool alive() const { return state().ok(); }
  // ok, or why it is over.
  [[nodiscard]] Status state() const;
  // Stopped when it is over. Callbacks run on the strand.
  [[nodiscard]] std::stop_token over() const { return over_.get_token(); }

  // One renewal now. An error leaves it as it was, unless it says that the session is over.
  Task<Status> renew(store::CallOptions options);
  // Over at once, and everything that belongs to it is given up. An error: that will happen when its time is
  // out. Closing one that is lost changes nothing: its keys stay for the lock delay.
  Task<Status> close(store::CallOptions options);

  // ---- For recipes.
  // The store said that the lease does not exist.
  void found_missing() { finish(errors::session_lost()); }
  // Writes of places in line carry this number, the version of session_key(): whoever must know that one of
  // them will never take effect writes that key.
  [[nodiscard]] std::int64_t epoch() const { return epoch_; }
  void set_epoch(std::int64_t epoch) {
    epoch_ = epoch;
    must_call_off_ = false;
  }
  // Adopted: what its holder before sent may still take effect. Whoever writes first writes session_key()
  // before.
  [[nodiscard]] bool must_call_off() const { return must_call_off_; }
  // A revision of the store that an answer to this session has named: what it sends now comes later.
  [[nodiscard]] Revision seen() const { return seen_; }
  void saw(Revision revision) { seen_ = std::max(seen_, revision); }

 private:
  friend class SessionMaker;
  Session(const Context& context, LeaseId id, const SessionOptions& options, store::Principal principal);

  void granted(TimePoint sent, Duration whole_ttl);
  void extend(TimePoint until);
  void set_expiry_timer();
  void on_expiry_timer();
  void schedule_renewal(TimePoint when);
  void renew_now();
  void on_renewed(TimePoint sent, const Result<store::LeaseKeepAliveResponse>& answer);
  void ask_store();
  void on_asked(TimePoint sent, const Result<store::LeaseTimeToLiveResponse>& answer);
  void finish(Status why);
  static Task<Status> renew_once(std::shared_ptr<Session> self, store::CallOptions options);
  static Task<Status> give_up(std::shared_ptr<Session> self, store::CallOptions options);

  Context context_;
  LeaseId id_;
  SessionOptions options_;
  store::Principal principal_;
  Duration ttl_{};
  TimePoint life_end_ = no_deadline;
  TimePoint expires_at_{};
  TimePoint renewed_at_{};  // when the last renewal that succeeded was sent
  Status why_over_;         // ok while it is not
  std::stop_source over_;
  env::TimerId expiry_timer_;
  env::TimerId renewal_timer_;
  std::int64_t epoch_ = 0;
  bool must_call_off_ = false;
  Revision seen_;
};

using SessionPtr = std::shared_ptr<Session>;

// "lockstep/sessions/1f": exists if writes of the session had to be called off.
std::string session_key(LeaseId id);

// An unknown outcome may leave a lease behind that nobody knows; it ends by itself.
Task<Result<SessionPtr>> open_session(Context context, SessionOptions options, store::CallOptions call);
// `options` as it was opened with, but for the ttl, which the store knows. It is renewed once, unless
// that happens elsewhere.
Task<Result<SessionPtr>> adopt_session(Context context, LeaseId id, SessionOptions options,
                                       store::CallOptions call);
// Somebody else's lease, of which nothing is asked: alive until the store says otherwise to a recipe.
SessionPtr speak_for_lease(const Context& context, LeaseId id, const store::Principal& principal);

}  // namespace lockstep::service
