#include "remote/connections.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "base/assert.h"
#include "proto/auth_service.pb.h"

namespace lockstep::remote {
namespace {

constexpr std::string_view login_path = "/etcdserverpb.Auth/Authenticate";
// Tokens that a cluster may refuse during one call: it expired, and the users changed meanwhile.
constexpr int logins_per_call_max = 3;
constexpr Duration retry_pause_min = 10ms;
constexpr Duration retry_pause_max = 500ms;
constexpr Duration login_pause = 200ms;

}  // namespace

// What a call says about who makes it. Views into itself and into the token.
class Connections::Identity {
 public:
  Identity(const std::string& token, bool with_request_id, const RequestId& request_id) {
    if (!token.empty()) fields_[count_++] = {"token", token};
    if (!with_request_id || !request_id.present()) return;
    add("lockstep-client-id", request_id.client.value());
    add("lockstep-sequence", request_id.sequence.value());
    add("lockstep-unanswered-first", request_id.unanswered_first.value());
  }
  Identity(const Identity&) = delete;
  Identity& operator=(const Identity&) = delete;
  [[nodiscard]] std::span<const rpc::MetadataField> fields() const {
    return std::span(fields_).first(count_);
  }

 private:
  void add(std::string_view name, std::uint64_t number) {
    texts_[count_] = std::to_string(number);
    fields_[count_] = {name, texts_[count_]};
    ++count_;
  }
  std::array<rpc::MetadataField, 4> fields_;
  std::array<std::string, 4> texts_;
  std::size_t count_ = 0;
};

struct Connections::Pending {
  enum class State : std::uint8_t { waiting, pausing, sent };

  Call call;
  Done done;           // of call()
  LineDone line_done;  // of line()
  State state = State::waiting;
  std::list<PendingPtr>::iterator place;
  bool placed = false;
  env::TimerId timer;  // the deadline while it waits, or the end of a pause
  Endpoint* endpoint = nullptr;
  Endpoint::Running running;
  std::uint64_t token_number = 0;  // with which it was sent
  int logins = 0;
  int attempts = 0;
  bool perhaps_done = false;  // a mutation was sent, and nobody said that it was refused
  Status last_error;
  std::optional<std::stop_callback<std::function<void()>>> cancellation;
};

Connections::Connections(env::Executor& executor, env::Clock& clock, env::Random& random,
                         env::Streams& streams, ConnectionsOptions options)
    : executor_(executor),
      clock_(clock),
      options_(std::move(options)),
      prng_(random.next()),
      login_(options_.user.empty() ? Login::not_wanted : Login::wanted) {
  LS_MUST(!options_.endpoints.empty());
  for (std::size_t i = 0; i < options_.endpoints.size(); ++i) {
    endpoints_.push_back(std::make_unique<Endpoint>(options_.endpoints[i], executor_, clock_, streams, prng_,
                                                    options_.endpoint, [this, i] { endpoint_changed(i); }));
  }
  next_ = prng_.below(endpoints_.size());
}

Connections::~Connections() {
  close();
}

void Connections::close() {
  if (closed_) return;
  closed_ = true;
  executor_.cancel(login_timer_);
  const std::list<PendingPtr> ending = calls_;
  for (const PendingPtr& pending : ending) {
    if (pending->placed) cancelled(pending);
  }
  LS_MUST(calls_.empty());
  alive_.reset();
  endpoints_.clear();
}

void Connections::call(Call call, Done done) {
  auto pending = std::make_shared<Pending>();
  pending->call = std::move(call);
  pending->done = std::move(done);
  begin(pending);
}

void Connections::line(TimePoint deadline, const std::string& endpoint, LineDone done) {
  auto pending = std::make_shared<Pending>();
  pending->call.deadline = deadline;
  pending->call.endpoint = endpoint;
  pending->line_done = std::move(done);
  begin(pending);
}

void Connections::begin(const PendingPtr& pending) {
  pending->place = calls_.insert(calls_.end(), pending);
  pending->placed = true;
  ++waiting_;
  const Call& call = pending->call;
  if (closed_) return fail(pending, {Code::cancelled, "the connections are closed"});
  if (call.cancellation.stop_requested()) return cancelled(pending);
  if (call.deadline <= clock_.now())
    return fail(pending, {Code::deadline_exceeded, "the deadline passed before the call was sent"});
  if (waiting_ > options_.waiting_calls_max)
    return fail(pending, {Code::resource_exhausted, "too many calls wait for a connection"});
  if (call.cancellation.stop_possible()) {
    pending->cancellation.emplace(call.cancellation, [this, alive = std::weak_ptr<bool>(alive_),
                                                      weak = std::weak_ptr<Pending>(pending)] {
      executor_.post_from_any_thread([this, alive, weak] {
        const PendingPtr found = weak.lock();
        if (!alive.expired() && found && found->placed) cancelled(found);
      });
    });
  }
  start(pending);
}

void Connections::start(const PendingPtr& pending) {
  LS_MUST(pending->state == Pending::State::waiting);
  Endpoint* endpoint = pick(pending->call.endpoint);
  if (endpoint == nullptr) {
    want(pending->call.endpoint);
    if (options_.fail_fast && unreachable(pending->call.endpoint))
      return fail(pending,
                  pending->last_error.ok() ? why_unreachable(pending->call.endpoint) : pending->last_error);
    return enqueue(pending);
  }
  if (login_ == Login::wanted || login_ == Login::running) {
    enqueue(pending);
    return log_in();
  }
  send(pending, *endpoint);
}

void Connections::send(const PendingPtr& pending, Endpoint& endpoint) {
  if (pending->line_done) {
    LineDone done = std::move(pending->line_done);
    forget(pending);
    const Identity identity(token_, false, {});
    return done(Line{&endpoint, {identity.fields().begin(), identity.fields().end()}});
  }
  executor_.cancel(std::exchange(pending->timer, env::TimerId()));
  pending->state = Pending::State::sent;
  --waiting_;
  pending->endpoint = &endpoint;
  pending->token_number = token_number_;
  ++pending->attempts;
  const Call& call = pending->call;
  const Identity identity(token_, options_.deduplicates_requests, call.request_id);
  pending->running =
      endpoint.unary(call.path, call.message, identity.fields(), call.deadline,
                     [this, pending](const rpc::CallResult& result) { answered(pending, result); });
}

void Connections::answered(const PendingPtr& pending, const rpc::CallResult& result) {
  LS_MUST(pending->state == Pending::State::sent);
  Endpoint* endpoint = std::exchange(pending->endpoint, nullptr);
  pending->state = Pending::State::waiting;
  ++waiting_;
  if (result.status.ok()) {
    endpoint->worked();
    Done done = std::move(pending->done);
    forget(pending);
    return done(std::string(result.message));
  }
  Status status = to_status(result.status, pending->call.effect, !result.not_processed);
  const bool token_refused = asks_for_login(result.status) && !options_.user.empty();
  if (token_refused && pending->logins < logins_per_call_max) {
    ++pending->logins;
    if (pending->token_number == token_number_ && login_ == Login::done) login_ = Login::wanted;
    pending->last_error = std::move(status);
    return start(pending);
  }
  const bool repeatable = options_.deduplicates_requests && pending->call.request_id.present();
  if (is_unknown(status)) pending->perhaps_done = true;
  if (worth_another_attempt(status) || (is_unknown(status) && repeatable))
    return retry(pending, std::move(status));
  fail(pending, std::move(status));
}

// The first attempt elsewhere follows at once, later ones after growing pauses.
void Connections::retry(const PendingPtr& pending, Status why) {
  pending->last_error = std::move(why);
  if (pending->attempts <= static_cast<int>(endpoints_.size()) && endpoints_.size() > 1)
    return start(pending);
  const int doublings = std::min(pending->attempts, 6);
  const Duration ceiling = std::min(retry_pause_min * (std::int64_t{1} << doublings), retry_pause_max);
  const auto pause = Duration(static_cast<std::int64_t>(prng_.between(
      static_cast<std::uint64_t>(ceiling.count() / 2), static_cast<std::uint64_t>(ceiling.count()))));
  const TimePoint now = clock_.now();
  const TimePoint deadline = pending->call.deadline;
  if (options_.fail_fast && pending->attempts > 2 * static_cast<int>(endpoints_.size()) &&
      !pending->perhaps_done && unreachable(pending->call.endpoint))
    return fail(pending, pending->last_error);
  pending->state = Pending::State::pausing;
  const bool last = deadline != no_deadline && deadline - now <= pause;
  pending->timer = executor_.schedule(last ? deadline : now + pause, [this, pending, last] {
    pending->timer = {};
    pending->state = Pending::State::waiting;
    if (last) return out_of_time(pending);
    start(pending);
  });
}

void Connections::enqueue(const PendingPtr& pending) {
  const TimePoint deadline = pending->call.deadline;
  if (pending->timer != env::TimerId{} || deadline == no_deadline) return;
  pending->timer = executor_.schedule(deadline, [this, pending] {
    pending->timer = {};
    out_of_time(pending);
  });
}

void Connections::out_of_time(const PendingPtr& pending) {
  const std::string& only = pending->call.endpoint;
  if (pending->last_error.ok() && unreachable(only)) return fail(pending, why_unreachable(only));
  if (!pending->last_error.ok()) return fail(pending, pending->last_error);
  fail(pending, {Code::deadline_exceeded, "the deadline passed before the call was sent"});
}

void Connections::cancelled(const PendingPtr& pending) {
  if (pending->state == Pending::State::sent) {
    pending->endpoint->cancel(pending->running);
    pending->endpoint = nullptr;
    pending->state = Pending::State::waiting;
    ++waiting_;
    if (pending->call.effect == Effect::mutation) pending->perhaps_done = true;
  }
  fail(pending, {Code::cancelled, "given up by the caller"});
}

void Connections::fail(const PendingPtr& pending, Status status) {
  LS_MUST(!status.ok());
  if (pending->perhaps_done) status = {Code::unknown_outcome, std::string(status.message())};
  Done done = std::move(pending->done);
  LineDone line_done = std::move(pending->line_done);
  forget(pending);
  if (line_done) return line_done(std::move(status));
  done(std::move(status));
}

void Connections::forget(const PendingPtr& pending) {
  LS_MUST(pending->placed);
  LS_MUST(pending->state != Pending::State::sent);
  LS_MUST(waiting_ > 0);
  executor_.cancel(std::exchange(pending->timer, env::TimerId()));
  pending->cancellation.reset();
  pending->placed = false;
  --waiting_;
  calls_.erase(pending->place);  // whoever called holds another pointer to it
}

void Connections::run_waiting() {
  std::vector<PendingPtr> waiting;
  for (const PendingPtr& pending : calls_) {
    if (pending->state == Pending::State::waiting) waiting.push_back(pending);
  }
  const std::weak_ptr<bool> alive = alive_;
  for (const PendingPtr& pending : waiting) {
    if (alive.expired()) return;
    if (pending->placed && pending->state == Pending::State::waiting) start(pending);
  }
}

void Connections::endpoint_changed(std::size_t index) {
  if (options_.fail_fast || endpoints_[index]->state() == Endpoint::State::up) run_waiting();
}

Endpoint* Connections::pick(const std::string& only) {
  for (std::size_t i = 0; i < endpoints_.size(); ++i) {
    next_ = next_ + 1 == endpoints_.size() ? 0 : next_ + 1;
    Endpoint& endpoint = *endpoints_[next_];
    if (endpoint.state() != Endpoint::State::up) {
      endpoint.want();
      continue;
    }
    if (only.empty() || endpoint.address() == only) return &endpoint;
  }
  return nullptr;
}

void Connections::want(const std::string& only) {
  for (const auto& endpoint : endpoints_) {
    if (only.empty() || endpoint->address() == only) endpoint->want();
  }
}

bool Connections::unreachable(const std::string& only) const {
  return std::ranges::all_of(endpoints_, [&](const auto& endpoint) {
    return endpoint->state() == Endpoint::State::waiting || (!only.empty() && endpoint->address() != only);
  });
}

Status Connections::why_unreachable(const std::string& only) const {
  std::string why = "no member can be reached";
  for (const auto& endpoint : endpoints_) {
    if (only.empty() || endpoint->address() == only)
      why += "; " + endpoint->address() + ": " + endpoint->last_error();
  }
  return {Code::unavailable, why};
}

void Connections::stream_ended(const rpc::GrpcStatus& status) {
  if (asks_for_login(status) && login_ == Login::done) login_ = Login::wanted;
}

void Connections::log_in() {
  if (login_ != Login::wanted || login_timer_ != env::TimerId{}) return;
  Endpoint* endpoint = pick({});
  if (endpoint == nullptr) return;  // endpoint_changed() comes back
  login_ = Login::running;
  etcdserverpb::AuthenticateRequest request;
  request.set_name(options_.user);
  request.set_password(options_.password);
  endpoint->unary(login_path, request.SerializeAsString(), {}, clock_.now() + options_.login_timeout,
                  [this](const rpc::CallResult& result) { login_finished(result); });
}

void Connections::login_finished(const rpc::CallResult& result) {
  LS_MUST(login_ == Login::running);
  login_ = Login::wanted;
  etcdserverpb::AuthenticateResponse response;
  const std::string_view message = result.message;
  if (result.status.ok() && !response.ParseFromArray(message.data(), static_cast<int>(message.size())))
    return login_failed({Code::internal, "the answer to the login cannot be read"});
  if (!result.status.ok() && !login_not_needed(result.status)) {
    const Status status = to_status(result.status, Effect::none, !result.not_processed);
    if (!worth_another_attempt(status)) return login_failed(status);
    login_timer_ = executor_.schedule(clock_.now() + login_pause, [this] {
      login_timer_ = {};
      log_in();
    });
    return;
  }
  token_ = std::move(*response.mutable_token());
  ++token_number_;
  login_ = Login::done;
  run_waiting();
}

void Connections::login_failed(const Status& status) {
  std::vector<PendingPtr> waiting;
  for (const PendingPtr& pending : calls_) {
    if (pending->state == Pending::State::waiting) waiting.push_back(pending);
  }
  const std::weak_ptr<bool> alive = alive_;
  for (const PendingPtr& pending : waiting) {
    if (alive.expired()) return;
    if (pending->placed) fail(pending, status);
  }
}

std::vector<EndpointStatus> Connections::endpoints() const {
  std::vector<EndpointStatus> all;
  for (const auto& endpoint : endpoints_)
    all.push_back({endpoint->address(), endpoint->state(), endpoint->last_error(), endpoint->connections(),
                   endpoint->calls()});
  return all;
}

}  // namespace lockstep::remote
