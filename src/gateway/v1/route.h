// What /v1 serves, as a table: each route with its request, its answer and its errors. The same table serves
// and makes the OpenAPI document.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "base/task.h"
#include "gateway/v1/fields.h"
#include "gateway/v1/idempotency.h"
#include "gateway/v1/json_text.h"
#include "gateway/v1/problem.h"
#include "store/store.h"

namespace lockstep::gateway::v1 {

// One request as its handler sees it.
struct Call {
  Arguments arguments;
  // Who asks, the client's going away as cancellation, and a deadline: of the server for one call, later by
  // what `wait_ms` asks for.
  store::CallOptions options;
  std::string user;  // who asks, by name; empty: nobody knows
  // With an Idempotency-Key, where Route::keeps_answer.
  std::shared_ptr<AnswerKeeping> keeping;
};

// An answer, or an error as the recipe said it or as a problem of /v1's own.
using Outcome = std::variant<JsonText, Status, Problem>;
using Handler = std::function<Task<Outcome>(Call call)>;

// Server-sent events to one client.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // Waits while the client does not read what was sent. False: it is gone, or the server closes.
  virtual Task<bool> send(std::string event, std::string id, JsonText data) = 0;
};
// Runs until there is nothing more to say, the client is gone (ok) or an error. Lives as long as it runs.
using StreamHandler = std::function<Task<Status>(Call call, EventSink& sink)>;

struct Event {
  std::string name;
  std::string meaning;
  Fields fields;
};

struct Route {
  std::string method;  // GET takes its fields from the query, POST and DELETE from the body
  std::string path;    // of GET it may end in a field in braces, which is its last part then: path_field()
  std::string summary;
  std::string tag;
  Fields request;
  Fields answer;
  std::vector<std::string_view> problems;  // codes beside those that every route has
  bool mutates = false;                    // takes an Idempotency-Key
  bool repeatable =
      false;  // done again, it does no harm: under its key it may be, if nobody knows whether it was
  bool keeps_answer = false;  // the handler writes Call::keeping with its effect, and sets `kept`
  Handler handler;
  std::vector<Event> events;  // of a stream
  StreamHandler stream;
};

using Routes = std::vector<Route>;

// "gid" of "/v1/transactions/{gid}"; empty: every field is in the query.
std::string_view path_field(const Route& route);

// Longest that a request may ask to wait.
inline constexpr std::int64_t wait_ms_max = 3'600'000;
Field wait_field();

}  // namespace lockstep::gateway::v1
