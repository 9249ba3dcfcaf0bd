// The recipes that /v1 serves, on one store, and their routes: a file of routes for each family.
//
// Outlives the V1 that serves its routes. Strand: the store's.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "env/http_client.h"
#include "gateway/v1/route.h"
#include "gateway/v1/transaction_request.h"
#include "service/context.h"
#include "service/counter/counter.h"
#include "service/election/elections.h"
#include "service/idempotency/idempotency.h"
#include "service/ids/ids.h"
#include "service/limiter/limiter.h"
#include "service/lock/locks.h"
#include "service/semaphore/semaphores.h"
#include "service/simple/simple_lock.h"
#include "service/timer/timers.h"
#include "service/topic/topics.h"
#include "service/transaction/transactions.h"

namespace lockstep::gateway::v1 {

class Coordination {
 public:
  explicit Coordination(const service::Context& with)
      : context(with),
        locks(with),
        counter(with),
        ids(with),
        limiter(with),
        semaphores(with),
        idempotency(with),
        elections(with),
        timers(with),
        topics(with),
        transactions(with),
        simple_lock(with) {}
  Coordination(const Coordination&) = delete;
  Coordination& operator=(const Coordination&) = delete;

  [[nodiscard]] Routes routes();

  // What timers are sent with; null: nothing is known of targets before they are called. Outlives this.
  const env::HttpClient* callouts = nullptr;
  service::Context context;
  service::Locks locks;
  service::Counter counter;
  service::Ids ids;
  service::Limiter limiter;
  service::Semaphores semaphores;
  service::Idempotency idempotency;
  service::Elections elections;
  service::Timers timers;
  service::Topics topics;
  service::transaction::Transactions transactions;
  ServiceTable services;  // of the server, for sagas
  service::SimpleLock simple_lock;
};

Routes counter_routes(Coordination& recipes);
Routes lock_routes(Coordination& recipes);
Routes lock_state_routes(Coordination& recipes);
Routes barrier_routes(Coordination& recipes);
Routes election_routes(Coordination& recipes);
Routes latch_routes(Coordination& recipes);
Routes timer_routes(Coordination& recipes);
Routes topic_routes(Coordination& recipes);
Routes transaction_routes(Coordination& recipes);
Routes transaction_edit_routes(Coordination& recipes);
Routes idempotency_routes(Coordination& recipes);
Routes semaphore_routes(Coordination& recipes);
Routes id_routes(Coordination& recipes);
Routes limit_routes(Coordination& recipes);
Routes session_routes(Coordination& recipes);
Routes simple_routes(Coordination& recipes);

// ---- what families share

using RecipeHandler = Task<Outcome> (*)(Coordination* recipes, Call call);
using RecipeStream = Task<Status> (*)(Coordination* recipes, Call call, EventSink* sink);

// A route of a family, still without its fields. POST changes something; GET does not.
Route post(Coordination& recipes, std::string path, std::string summary, RecipeHandler handler);
Route get(Coordination& recipes, std::string path, std::string summary, RecipeHandler handler);
Route stream(Coordination& recipes, std::string path, std::string summary, RecipeStream handler);

// A name as the recipes take it.
Field name_field(std::string meaning);
Field ttl_field(std::string meaning);
Field lock_delay_field(std::string meaning);
// A session: the hexadecimal number of its lease, as etcd's tools write it.
Field session_field(std::string meaning);
std::string session_text(LeaseId session);
// Of a field that may be absent: then zero. Errors: no such number.
Result<LeaseId> session_of(const Call& call, std::string_view field = "session");
// Of locks: their names are the begins of their keys.
Field lock_name_field();
Field lock_mode_field();
service::LockMode lock_mode_of(const Call& call);
std::string_view lock_mode_text(service::LockMode mode);
std::string lock_key_of(const Call& call, LeaseId session);
// In whole milliseconds; zero if it is past.
std::int64_t milliseconds_until(Coordination& recipes, TimePoint when);
// What is written with a counter's update, and what its outcome says: the answer where it is good.
using CounterAnswer = std::function<JsonText(const service::CounterValue& value)>;
std::optional<service::CounterCompanion> counter_companion(const Call& call, CounterAnswer answer);
Outcome counter_outcome(const std::shared_ptr<AnswerKeeping>& keeping,
                        const Result<service::CounterValue>& value, const CounterAnswer& answer);
// A request that is wrong in one field.
Problem wrong_field(std::string_view field, std::string_view why);

}  // namespace lockstep::gateway::v1
