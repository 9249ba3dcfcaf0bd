#include "gateway/v1/v1.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/assert.h"
#include "gateway/principal.h"
#include "gateway/v1/openapi.h"
#include "gateway/v1/request_reader.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr std::string_view root = "/v1/";
constexpr std::size_t request_id_bytes_max = 128;
// Of events that a client does not read: more wait in the store.
constexpr std::size_t unsent_event_bytes_max = 64 * 1024;
// An answer under an Idempotency-Key that could not be kept in time for the client: tried for so much longer.
constexpr Duration late_keeping_time = 30s;

std::string hexadecimal(std::uint64_t number) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 0; i < text.size(); ++i) text[15 - i] = digits[number >> (4 * i) & 15];
  return text;
}

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

HttpResponse answer(JsonText json, const std::string& request_id) {
  HttpResponse response;
  response.body = std::move(json).take();
  response.fields.push_back({"X-Request-Id", request_id});
  return response;
}

// Of what is no answer.
Problem problem_in(const Outcome& outcome) {
  if (const auto* problem = std::get_if<Problem>(&outcome)) return *problem;
  return problem_of(std::get<Status>(outcome));
}

HttpResponse answer_of(Outcome outcome, const std::string& request_id) {
  if (auto* json = std::get_if<JsonText>(&outcome)) return answer(std::move(*json), request_id);
  return to_response(problem_in(outcome), request_id);
}

Problem misread_problem(Misread misread) {
  Problem problem = make_problem(
      "invalid_request", misread.pointer.empty() ? misread.why : misread.pointer + ": " + misread.why);
  problem.pointer = std::move(misread.pointer);
  return problem;
}

// What becomes of an outcome under an Idempotency-Key. What is certain not to have taken effect, and may
// later, leaves the key free; of what may have, there is no answer that could be given again.
enum class Keeping : std::uint8_t { keep, free, leave };
Keeping keeping_of(const Outcome& outcome, bool repeatable) {
  if (std::holds_alternative<JsonText>(outcome)) return Keeping::keep;
  const ProblemKind& kind = *problem_in(outcome).kind;
  if (kind.code == "outcome_unknown" || kind.code == "internal")
    return repeatable ? Keeping::free : Keeping::leave;
  const bool other_later =
      kind.code == "permission_denied" || kind.code == "unauthenticated" || kind.code == "not_supported";
  return kind.retryable || other_later ? Keeping::free : Keeping::keep;
}

bool is_json(const HttpRequest& request) {
  const std::string_view type = request.field("content-type").value_or("");
  return type.empty() || type.starts_with("application/json") ||
         type.starts_with("application/x-www-form-urlencoded");  // what curl -d says of any text
}

// The field in the path and those of the query, as one query.
std::string whole_query(const Route& route, const HttpRequest& request) {
  const std::string_view field = path_field(route);
  if (field.empty()) return request.query;
  std::string query = std::string(field) + "=";
  // The path is decoded already; a query is read decoding it.
  constexpr std::string_view digits = "0123456789ABCDEF";
  for (const char letter : std::string_view(request.path).substr(route.path.find('{'))) {
    const auto byte = static_cast<unsigned char>(letter);
    query.append({'%', digits[byte >> 4U], digits[byte & 15U]});
  }
  return request.query.empty() ? query : query + "&" + request.query;
}

}  // namespace

std::string_view path_field(const Route& route) {
  const std::size_t begin = route.path.find('{');
  if (begin == std::string::npos) return {};
  LS_MUST(route.method == "GET" && route.path.ends_with('}'));
  return std::string_view(route.path).substr(begin + 1, route.path.size() - begin - 2);
}

Field wait_field() {
  return integer_field("wait_ms", "how long to wait for it; 0 answers at once").between(0, wait_ms_max);
}

// Stopped when either is.
class EitherStops {
 public:
  EitherStops(std::stop_token one, std::stop_token other)
      : on_one_(std::move(one), Stop{&both_}), on_other_(std::move(other), Stop{&both_}) {}
  [[nodiscard]] std::stop_token token() const { return both_.get_token(); }

 private:
  struct Stop {
    std::stop_source* source;
    void operator()() const { source->request_stop(); }
  };
  std::stop_source both_;
  std::stop_callback<Stop> on_one_;
  std::stop_callback<Stop> on_other_;
};

// The events of one client, written as the standard wants them.
class V1::Sink final : public EventSink {
 public:
  Sink(V1& owner, HttpResponderPtr responder, std::string request_id)
      : owner_(owner), responder_(std::move(responder)), request_id_(std::move(request_id)) {}
  ~Sink() override { owner_.executor_.cancel(timer_); }
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  Task<bool> send(std::string event, std::string id, JsonText data) override {
    if (responder_->ended()) co_return false;
    std::string text = "event: " + event + "\n";
    if (!id.empty()) text += "id: " + id + "\n";
    text += "data: " + std::move(data).take() + "\n\n";
    say(text);
    while (!responder_->ended() && responder_->unsent_bytes() > unsent_event_bytes_max) {
      // The client's going away never comes as a notice, so both are waited for.
      auto start = [this](auto done) { wait_for_room(std::move(done)); };
      co_await from_callback<bool>(std::move(start));
    }
    co_return !responder_->ended();
  }

  void open() { say(": " + std::string(root.substr(0, root.size() - 1)) + "\n\n"); }
  [[nodiscard]] bool begun() const { return begun_; }

 private:
  void say(std::string_view text) {
    if (!std::exchange(begun_, true)) {
      HttpResponse head;
      head.content_type = "text/event-stream";
      head.fields = {{"Cache-Control", "no-store"}, {"X-Request-Id", request_id_}};
      responder_->begin(head);
    }
    responder_->send(text);
    arm();
  }
  void arm() {
    owner_.executor_.cancel(timer_);
    timer_ = owner_.executor_.schedule(owner_.clock_.now() + owner_.options_.event_interval, [this] {
      timer_ = {};
      if (!responder_->ended()) say(": \n\n");
    });
  }
  template <class Done>
  void wait_for_room(Done done) {
    struct Once {
      explicit Once(Done to_call) : done(std::move(to_call)) {}
      void call() {
        if (!std::exchange(called, true)) done(true);
      }
      Done done;
      bool called = false;
    };
    auto once = std::make_shared<Once>(std::move(done));
    responder_->notify_when_unsent_below(unsent_event_bytes_max, [once] { once->call(); });
    gone_.emplace(responder_->cancellation(), [once] { once->call(); });
  }

  V1& owner_;
  HttpResponderPtr responder_;
  std::string request_id_;
  env::TimerId timer_;
  std::optional<std::stop_callback<std::function<void()>>> gone_;
  bool begun_ = false;
};

V1::V1(store::Security& security, env::Executor& executor, env::Clock& clock, env::Random& random,
       Options options)
    : security_(security),
      executor_(executor),
      clock_(clock),
      random_(random),
      options_(std::move(options)) {}

V1::~V1() {
  executor_.cancel(drain_timer_);
}

void V1::add(Routes routes) {
  LS_MUST(document_.empty(), "the document is made once");
  for (Route& route : routes) routes_.push_back(std::move(route));
}

void V1::register_with(HttpRouter& router) {
  if (document_.empty()) document_ = openapi_document(routes_);
  for (const Route& route : routes_) {
    LS_MUST(route.path.starts_with(root));
    const auto handler = [this, &route](const HttpResponderPtr& responder, HttpRequest& request) {
      serve(route, responder, request);
    };
    if (path_field(route).empty()) {
      router.exact(route.method, route.path, handler);
    } else {
      router.prefix(route.method, route.path.substr(0, route.path.find('{')), handler);
    }
  }
  router.exact("GET", "/v1/openapi.json",
               [this](const HttpResponderPtr& responder, HttpRequest& /*request*/) {
                 HttpResponse response;
                 response.body = document_;
                 responder->respond(response);
               });
  router.set_refusals(root, refusal);
}

std::string V1::request_id_of(const HttpRequest& request) {
  const std::optional<std::string_view> given = request.field("x-request-id");
  if (given.has_value() && !given->empty() && given->size() <= request_id_bytes_max && is_printable(*given))
    return std::string(*given);
  return hexadecimal(random_.next());
}

Result<store::CallOptions> V1::admit(const HttpRequest& request) {
  if (closing_.stop_requested()) return Status(Code::unavailable, "the server is shutting down");
  if (options_.admits) LS_RETURN_IF_ERROR(options_.admits());
  store::CallOptions options;
  LS_ASSIGN_OR_RETURN(options.principal,
                      principal_of(security_, request.field("authorization"), request.peer_common_name));
  return options;
}

// Where nobody logs in, the certificate's name is all there is.
std::string V1::user_of(store::Principal principal, const std::string& certificate_name) const {
  if (principal.is_nobody()) return certificate_name;
  std::string name = security_.name_of(principal);
  return name.empty() ? std::to_string(principal.number()) : name;
}

void V1::serve(const Route& route, const HttpResponderPtr& responder, HttpRequest& request) {
  std::string request_id = request_id_of(request);
  const auto refuse = [&](const Problem& problem) { responder->respond(to_response(problem, request_id)); };
  Call call;
  Result<store::CallOptions> options = admit(request);
  if (!options.ok()) return refuse(problem_of(options.status()));
  call.options = *std::move(options);
  call.user = user_of(call.options.principal, request.peer_common_name);
  const bool query = route.method == "GET";
  if (route.stream && request.method == "HEAD")
    return refuse(make_problem("method_not_allowed", "a stream has no end of which the head could tell"));
  if (!query && !is_json(request)) return refuse(make_problem("unsupported_media_type", "application/json"));
  std::optional<Misread> misread;
  if (!query && !request.query.empty()) {
    misread = Misread{"", "fields go into the body, not into the query"};
  } else {
    misread = query ? read_query(whole_query(route, request), route.request, &call.arguments)
                    : read_body(request.body, route.request, &call.arguments);
  }
  if (misread.has_value()) return refuse(misread_problem(*std::move(misread)));
  call.options.cancellation = responder->cancellation();
  if (route.stream) {
    return start(run_stream(route, responder, std::move(call), std::move(request_id)));
  }
  const Duration wait = std::chrono::milliseconds(call.arguments.integer_or("wait_ms"));
  call.options.deadline = clock_.now() + options_.request_timeout + wait;
  const std::optional<std::string_view> key = request.field("idempotency-key");
  if (!key.has_value() || !route.mutates)
    return start(run(route, responder, std::move(call), std::move(request_id)));
  if (idempotency_ == nullptr)
    return refuse(make_problem("not_supported", "no Idempotency-Key is kept here"));
  if (key->empty() || key->size() > idempotency_key_bytes_max || !is_printable(*key))
    return refuse(make_problem("invalid_request", "an Idempotency-Key is 1 to 255 printable characters"));
  IdempotentRequest once;
  once.user = call.user;
  once.key = *key;
  once.fingerprint = route.method + " " + route.path + "\n" + request.body;
  once.time = options_.request_timeout + wait;
  once.repeatable = route.repeatable || route.keeps_answer;
  start(run_once(route, responder, std::move(call), std::move(request_id), std::move(once)));
}

void V1::start(Task<void> task) {
  scope_.spawn(counted(std::move(task)));
}

// Only what waits for others hears that the server closes; what the store works on ends soon by itself.
Task<Outcome> V1::handle(const Route* route, Call call) {
  if (call.arguments.integer_or("wait_ms") == 0) co_return co_await route->handler(std::move(call));
  const EitherStops either(call.options.cancellation, closing_.get_token());
  call.options.cancellation = either.token();
  Outcome outcome = co_await route->handler(std::move(call));
  const auto* status = std::get_if<Status>(&outcome);
  if (closing_.stop_requested() && status != nullptr && status->code() == Code::cancelled)
    co_return Status(Code::unavailable, "the server is shutting down");
  co_return outcome;
}

Task<void> V1::counted(Task<void> task) {
  co_await std::move(task);
  if (drained_) executor_.post([this] { check_drained(); });
}

void V1::drain(TimePoint deadline, env::Closure done) {
  LS_MUST(!drained_ && !closing_.stop_requested(), "drained once");
  drained_ = std::move(done);
  closing_.request_stop();
  drain_timer_ = executor_.schedule(deadline, [this] {
    if (drained_) std::exchange(drained_, nullptr)();
  });
  executor_.post([this] { check_drained(); });
}

void V1::check_drained() {
  if (drained_ && scope_.size() == 0) std::exchange(drained_, nullptr)();
}

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters): routes live as long as this
Task<void> V1::run(const Route& route, HttpResponderPtr responder, Call call, std::string request_id) {
  Outcome outcome = co_await handle(&route, std::move(call));
  responder->respond(answer_of(std::move(outcome), request_id));
}

Task<void> V1::run_once(const Route& route, HttpResponderPtr responder, Call call, std::string request_id,
                        IdempotentRequest once) {
  // Whether the client is still there or not: a key that it left in use would be in use for long.
  store::CallOptions options = call.options;
  options.cancellation = {};
  options.deadline = clock_.now() + options_.request_timeout;
  Idempotency::Begun begun = co_await idempotency_->begin(once, options);
  if (begun.state == Idempotency::Begun::State::refused) {
    responder->respond(to_response(begun.problem, request_id));
    co_return;
  }
  if (begun.state == Idempotency::Begun::State::done) {
    begun.response.fields.push_back({"Idempotency-Replayed", "true"});
    begun.response.fields.push_back({"X-Request-Id", request_id});
    responder->respond(begun.response);
    co_return;
  }
  const std::shared_ptr<AnswerKeeping> keeping_itself =
      route.keeps_answer ? idempotency_->keeping(once, begun.owner) : nullptr;
  call.keeping = keeping_itself;
  Outcome outcome = co_await handle(&route, std::move(call));
  if (keeping_itself != nullptr && keeping_itself->kept) {
    responder->respond(answer_of(std::move(outcome), request_id));
    co_return;
  }
  const Keeping keeping = keeping_of(outcome, once.repeatable);
  const HttpResponse response = answer_of(std::move(outcome), request_id);
  options.deadline = clock_.now() + options_.request_timeout;
  Status kept;
  if (keeping == Keeping::free) co_await idempotency_->abandon(once, begun.owner, options);
  if (keeping == Keeping::keep) kept = co_await idempotency_->complete(once, begun.owner, response, options);
  responder->respond(response);
  if (kept.ok()) co_return;
  options.deadline = clock_.now() + late_keeping_time;
  kept = co_await idempotency_->complete(std::move(once), std::move(begun.owner), response, options);
}

Task<void> V1::run_stream(const Route& route, HttpResponderPtr responder, Call call, std::string request_id) {
  Sink sink(*this, responder, request_id);
  const EitherStops either(call.options.cancellation, closing_.get_token());
  call.options.cancellation = either.token();
  const Status ended = co_await route.stream(std::move(call), sink);
  if (responder->ended()) co_return;
  if (!sink.begun() && !ended.ok()) {
    responder->respond(to_response(problem_of(ended), request_id));
    co_return;
  }
  if (!sink.begun()) sink.open();
  if (!ended.ok()) {
    responder->send("event: problem\ndata: " + to_json(problem_of(ended), request_id) + "\n\n");
  }
  responder->finish();
}
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)

}  // namespace lockstep::gateway::v1
