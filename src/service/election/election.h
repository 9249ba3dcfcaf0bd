// Who leads: etcd's election service on any Store. A leader owns the name and says something with it, its
// value.
//
// The leader's token (create_revision of its key) guards what it writes: proclaim() and resign() do nothing
// once somebody else leads.
//
// Strand, ownership and errors: as the line's (lease_line.h).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "service/contenders.h"
#include "service/lease_line.h"
#include "store/store.h"

namespace lockstep::service {

// What a candidate got from campaign() and names itself by.
struct Leadership {
  std::string key;
  Revision token;
  LeaseId lease;
};

struct Leader {
  store::Header header;
  store::KeyValue kv;  // its key and value
};

namespace errors {
Status not_leader();  // failed_precondition: this leadership is over
Status no_leader();   // not_found: nobody leads
}  // namespace errors

// Every leader and every value, as they come, from the one that leads now. Pull: next() when there is room.
class LeaderObserver : public std::enable_shared_from_this<LeaderObserver> {
 public:
  // One at a time; `done` may be called before it returns. An error is the end. Dropping the observer forgets
  // `done`.
  void next(store::Callback<Leader> done);

  LeaderObserver(store::Store& store, std::string name, store::CallOptions options);

 private:
  enum class State : std::uint8_t { looking, waiting_for_one, following };

  void look();
  void follow(const store::WatchRequest& request, State state);
  void take_events();
  void on_events(store::WatchResponse answer);
  void deliver();
  void answer(Result<Leader> result);

  store::Store& store_;
  std::string name_;
  store::CallOptions options_;
  State state_ = State::looking;
  std::unique_ptr<store::Subscription> subscription_;
  std::deque<Leader> leaders_;  // to be delivered; of one answer of the subscription
  store::Callback<Leader> done_;
};

class Election {
 public:
  explicit Election(const Context& context) : context_(context), line_(context) {}

  // Answers once elected. A candidate that is elected already, or waits, may campaign again with another
  // value.
  void campaign(std::string name, LeaseId lease, std::string value, store::CallOptions options,
                store::Callback<Ownership> done);
  void proclaim(const Leadership& leadership, std::string value, store::CallOptions options,
                std::move_only_function<void(Result<store::Header>)> done);
  // Ok also if somebody else leads.
  void resign(Leadership leadership, store::CallOptions options,
              std::move_only_function<void(Result<store::Header>)> done);
  void leader(const std::string& name, store::CallOptions options, store::Callback<Leader> done);
  [[nodiscard]] std::shared_ptr<LeaderObserver> observe(std::string name, store::CallOptions options);

  // As the line's.
  void close() { line_.close(); }
  [[nodiscard]] std::size_t candidates() const { return line_.contenders(); }

 private:
  Context context_;
  LeaseLine line_;
};

}  // namespace lockstep::service
