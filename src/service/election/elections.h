// Leaders by sessions: the lock's guarantees for whoever leads, and what a leader says for everybody to see.
//
//   1. At most one session leads, decided in the store; candidates follow each other in the order of their
//   arrival.
//   2. A leader's token is larger than those of all leaders before; what a leader writes carries it
//   (lock/guard.h).
//   3. proclaim() and resign() do nothing for whoever leads no more, also if he does not know that yet.
//   4. A call of campaign() that ends with an error is no candidate any more (line.h 3).
//   5. Keys are etcd's, NAME/<lease hex> with the leader's value: its clients campaign against ours, observe
//   ours, and
//      the other way round.
//
// Costs: as a lock's; proclaim() is one write, and one notice to each observer.
//
// Strand only. Destroying it cancels who waits; who leads leads on.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "service/context.h"
#include "service/election/election.h"
#include "service/line.h"
#include "service/session/session.h"
#include "service/waiting.h"

namespace lockstep::service {

// What a leader says. Small: every observer is sent it.
inline constexpr std::size_t leader_value_bytes_max = std::size_t{64} * 1024;

struct Campaign {
  std::string name;
  std::string value;
  bool wait = true;  // until the deadline of the options; false: errors::somebody_leads at once
};

struct Elected {
  std::string name;
  Revision token;
  LeaseId session;
  std::string key;
  store::Header header;
  [[nodiscard]] Leadership leadership() const { return {key, token, session}; }
};

namespace errors {
Status somebody_leads();          // failed_precondition, and we do not wait
Status leader_value_too_large();  // invalid_argument
}  // namespace errors

// Every leader and every value, as they come, from the one that leads now. One question at a time; a question
// that ended by its deadline is asked again.
class LeaderWatch {
 public:
  LeaderWatch(const Context& context, std::string name, const store::CallOptions& options);
  // Waits for a leader, or a new value. An error of the store is the end: begin a new watch.
  [[nodiscard]] Task<Result<Leader>> next(store::CallOptions options);

 private:
  struct Answer;
  static Task<Result<Leader>> wait(std::shared_ptr<LeaderObserver> observer, std::shared_ptr<Answer> answer,
                                   store::CallOptions options);
  std::shared_ptr<LeaderObserver> observer_;
  std::shared_ptr<Answer> answer_;
};

class Elections {
 public:
  explicit Elections(const Context& context) : context_(context), line_(std::make_shared<Line>(context)) {}
  ~Elections() { line_->close(); }
  Elections(const Elections&) = delete;
  Elections& operator=(const Elections&) = delete;

  // Answers once elected. A session that leads already, or is a candidate, changes its value.
  [[nodiscard]] Task<Result<Elected>> campaign(SessionPtr session, Campaign campaign,
                                               store::CallOptions options);
  // errors::not_leader. Repeating it after unknown_outcome is safe.
  [[nodiscard]] Task<Result<store::Header>> proclaim(const Leadership& leadership, std::string value,
                                                     store::CallOptions options);
  // errors::not_leader: it was over already.
  [[nodiscard]] Task<Result<store::Header>> resign(const Leadership& leadership, store::CallOptions options);
  // errors::no_leader.
  [[nodiscard]] Task<Result<Leader>> leader(std::string name, store::CallOptions options);
  // Of the options, the principal counts.
  [[nodiscard]] LeaderWatch observe(std::string name, const store::CallOptions& options) {
    return {context_, std::move(name), options};
  }

  [[nodiscard]] std::size_t candidates() const { return line_->waiters(); }

 private:
  Context context_;
  std::shared_ptr<Line> line_;  // also of calls that run
};

}  // namespace lockstep::service
