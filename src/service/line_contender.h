// What a line knows of one contender, and its steps. Internal to line.cc and line_contender.cc.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "service/line.h"
#include "service/waiting.h"

namespace lockstep::service {

struct Line::Contender {
  enum class Stage : std::uint8_t {
    outside,  // nothing of us is in the store
    unknown,  // perhaps our key is, perhaps it will be
    found,    // our session has a key that we did not write
    inside,   // our key is there: is it our turn?
    waiting,  // it was not; `ahead` must go first
  };

  Contender(const Context& context, SessionPtr session_given, LineRequest request_given,
            const store::CallOptions& options)
      : session(std::move(session_given)),
        request(std::move(request_given)),
        principal(options.principal),
        wake(context),
        done(context) {}

  SessionPtr session;
  LineRequest request;
  store::Principal principal;
  Signal wake;  // the worker should look around
  Signal done;  // there is a result
  std::optional<Result<Entered>> result;
  bool abandoned = false;  // nobody waits for the result
  bool has_turn = false;

  Stage stage = Stage::outside;
  bool was_inside = false;      // the session's key was found
  bool counted = false;         // `again` was written while served
  bool keeps_place = false;     // what is there is not ours to remove
  Revision token;               // create_revision of the key, from stage `found` on
  store::KeyValue own;          // in stage `found`: as it was found
  Revision modified;            // its mod_revision, when we wrote it
  bool uncounted = false;       // ours since another call waited, too: who is served writes it once more
  Revision sent_after;          // what the session had seen before we joined
  bool lease_is_gone = false;   // the store said so
  std::set<std::string> ahead;  // who must go first: one of them
  Revision ahead_created;       // the newest of them
  bool is_first = false;        // of those who wait: it watches all who are served
  Revision looked_at;           // the revision at which they were there
  bool is_notified = false;     // that one of them went, or something changed
  bool must_tell_next = false;  // has waited where several are served
  std::size_t before = 0;
  store::Header header;
  Duration pause{};
};

class Line::Core : public std::enable_shared_from_this<Line::Core> {
 public:
  using ContenderPtr = std::shared_ptr<Contender>;

  explicit Core(const Context& context) : context_(context) {}
  void close();
  [[nodiscard]] bool is_closed() const { return closed_; }
  [[nodiscard]] std::size_t waiters() const { return contenders_.size(); }
  static Task<Result<Entered>> enter(std::shared_ptr<Core> core, SessionPtr session, LineRequest request,
                                     store::CallOptions options);

 private:
  static Task<void> work(std::shared_ptr<Core> core, std::uint64_t id, ContenderPtr contender);
  Task<bool> take_turn(ContenderPtr contender);
  void end_turn(const std::string& key);

  // ok while somebody wants the place and may have it.
  [[nodiscard]] Status unwanted(const Contender& contender) const;
  [[nodiscard]] static bool serves_several(const LineRequest& request) { return request.allowed_before > 0; }
  [[nodiscard]] store::CallOptions call(const Contender& contender) const;
  void refuse(Contender& contender, const Status& why);
  Task<void> compete(ContenderPtr contender);
  Task<void> leave(ContenderPtr contender);
  Task<void> pause(ContenderPtr contender);
  // After an error of the store: waits if it may pass, else refuses.
  Task<void> endure(ContenderPtr contender, Status why);

  Task<void> join(ContenderPtr contender);
  void on_joined(Contender& contender, const store::TxnResponse& answer);
  void on_not_joined(Contender& contender, const store::TxnResponse& answer);
  Task<void> learn(ContenderPtr contender);
  Task<void> look(ContenderPtr contender);
  Task<void> on_not_ours(ContenderPtr contender, store::TxnResponse answer);
  static std::optional<std::vector<const store::KeyValue*>> older_in(const Contender& contender,
                                                                     const store::TxnResponse& answer,
                                                                     std::size_t first_range);
  static bool is_foreign_key(const Contender& contender, const store::KeyValue& older);
  static bool is_served(const Contender& contender, const Result<store::TxnResponse>& answer);
  void on_ahead(Contender& contender, const store::TxnResponse& answer, std::size_t first_range);
  Task<void> check_session(ContenderPtr contender);
  Task<bool> write_again(ContenderPtr contender, bool served);
  [[nodiscard]] bool on_written_again(Contender& contender, const store::TxnResponse& answer,
                                      const std::string& value, bool served, bool maybe_written);
  static void require(const LineRequest& request, store::TxnRequest& txn);
  [[nodiscard]] static bool is_as_required(const LineRequest& request, const store::RangeResponse* there);
  Task<void> serve(ContenderPtr contender);
  Task<void> tell_next(ContenderPtr contender);
  Task<void> look_before_joining(ContenderPtr contender);
  Task<void> watch(ContenderPtr contender);
  Task<bool> remove(ContenderPtr contender);

  Context context_;
  bool closed_ = false;
  std::map<std::uint64_t, ContenderPtr> contenders_;
  std::uint64_t next_id_ = 1;
  std::map<std::string, std::deque<ContenderPtr>> turns_;  // who waits behind the contender of a key
};

}  // namespace lockstep::service
