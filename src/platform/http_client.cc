#include "platform/http_client.h"

#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include <curl/curl.h>

#include "base/assert.h"
#include "platform/curl_multi.h"
#include "platform/curl_transfer.h"
#include "platform/tls_context.h"
#include "platform/tls_streams.h"

namespace lockstep::platform {
namespace {

// Until a destination has answered once: each of these may need a thread that resolves its name.
constexpr std::size_t in_flight_to_unknown_max = 4;

using Done = std::move_only_function<void(Result<env::HttpReply>)>;

Status closing() {
  return {Code::unknown_outcome, "the client ends"};
}

}  // namespace

class CurlHttpClient::Core : public std::enable_shared_from_this<Core> {
 public:
  Core(AsioExecutor& executor, HttpClientOptions options)
      : executor_(executor),
        options_(std::move(options)),
        multi_(executor, static_cast<long>(options_.in_flight_max),
               [this](const std::vector<std::pair<CURL*, CURLcode>>& ended) { on_finished(ended); }) {
    LS_MUST(options_.in_flight_max > 0 && options_.in_flight_per_destination_max > 0);
  }

  void call(env::HttpCall request, TimePoint deadline, Done done);
  void close();
  [[nodiscard]] Status refusal_of(const std::string& url) const;
  [[nodiscard]] const HttpClientMetrics& metrics() const { return metrics_; }

 private:
  struct Destination;
  struct Call {
    env::HttpCall request;
    std::string host;
    Done done;
    TimePoint deadline = no_deadline;
    env::TimerId timer;
    std::size_t bytes = 0;
    Destination* destination = nullptr;
    std::unique_ptr<CurlTransfer> transfer;  // null: waits
    std::list<Call>::iterator self;
  };
  // One scheme, host and port.
  struct Destination {
    std::string name;
    std::list<Call> waiting;
    std::size_t in_flight = 0;
    bool answered = false;
    bool queued = false;  // stands in ready_
  };

  [[nodiscard]] Status admit(const env::HttpCall& request, TimePoint deadline, std::size_t bytes) const;
  void queue(Destination& destination);
  void start_soon();
  void start_waiting();
  void start(Destination& destination);
  void on_deadline(Call& call);
  void on_finished(const std::vector<std::pair<CURL*, CURLcode>>& ended);
  // Takes the call out of everything and returns what is to be called.
  Done end(Call& call);
  void count(const Result<env::HttpReply>& result);

  AsioExecutor& executor_;
  HttpClientOptions options_;
  HttpClientMetrics metrics_;
  CurlMulti multi_;
  std::map<std::string, Destination, std::less<>> destinations_;
  std::deque<Destination*> ready_;  // whose turn it is to start one
  std::list<Call> in_flight_;
  std::vector<std::unique_ptr<CurlTransfer>> idle_;
  std::size_t request_bytes_ = 0;
  bool start_pending_ = false;
  bool closed_ = false;
};

Status CurlHttpClient::Core::refusal_of(const std::string& url) const {
  LS_ASSIGN_OR_RETURN(const CallTarget target, parse_call_url(url));
  return options_.policy.judge_host(target.host);
}

Status CurlHttpClient::Core::admit(const env::HttpCall& request, TimePoint deadline,
                                   std::size_t bytes) const {
  if (closed_) return {Code::unavailable, "the client ends"};
  LS_RETURN_IF_ERROR(check_call(request));
  if (deadline <= executor_.clock().now()) return {Code::deadline_exceeded, "no time is left to connect"};
  if (metrics_.waiting >= options_.waiting_max || request_bytes_ + bytes > options_.request_bytes_max)
    return {Code::deadline_exceeded, "too many calls wait already"};
  return {};
}

void CurlHttpClient::Core::call(env::HttpCall request, TimePoint deadline, Done done) {
  ++metrics_.calls;
  std::size_t bytes = request.url.size() + request.body.size();
  for (const auto& [name, value] : request.headers) bytes += name.size() + value.size();
  Status refused = admit(request, deadline, bytes);
  if (refused.code() == Code::unavailable || refused.code() == Code::deadline_exceeded)
    ++metrics_.turned_away;
  const Result<CallTarget> target = parse_call_url(request.url);
  if (refused.ok()) refused = target.ok() ? options_.policy.judge_host(target->host) : target.status();
  if (!refused.ok()) {
    if (refused.code() == Code::permission_denied) ++metrics_.refused;
    executor_.post([done = std::move(done), refused]() mutable { done(refused); });
    return;
  }
  Destination& destination = destinations_[target->destination];
  if (destination.name.empty()) destination.name = target->destination;
  Call& one = destination.waiting.emplace_back();
  one.self = std::prev(destination.waiting.end());
  one.request = std::move(request);
  one.host = target->host;
  one.done = std::move(done);
  one.destination = &destination;
  one.bytes = bytes;
  request_bytes_ += bytes;
  ++metrics_.waiting;
  one.deadline = deadline;
  if (deadline != no_deadline) one.timer = executor_.schedule(deadline, [this, &one] { on_deadline(one); });
  queue(destination);
}

void CurlHttpClient::Core::queue(Destination& destination) {
  const std::size_t room = destination.answered
                               ? options_.in_flight_per_destination_max
                               : std::min(in_flight_to_unknown_max, options_.in_flight_per_destination_max);
  if (destination.queued || destination.waiting.empty() || destination.in_flight >= room) return;
  destination.queued = true;
  ready_.push_back(&destination);
  start_soon();
}

// Together what a turn asks for.
void CurlHttpClient::Core::start_soon() {
  if (std::exchange(start_pending_, true)) return;
  executor_.at_turn_end([weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->start_waiting();
  });
}

void CurlHttpClient::Core::start_waiting() {
  start_pending_ = false;
  if (closed_) return;
  if (executor_.held()) {
    start_pending_ = true;
    return executor_.when_released([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->start_waiting();
    });
  }
  bool started = false;
  while (!ready_.empty() && metrics_.in_flight < options_.in_flight_max) {
    Destination& destination = *ready_.front();
    ready_.pop_front();
    destination.queued = false;
    if (destination.waiting.empty()) {  // given up meanwhile
      if (destination.in_flight == 0) destinations_.erase(destination.name);
      continue;
    }
    start(destination);
    started = true;
    queue(destination);
  }
  if (started) multi_.run();
}

void CurlHttpClient::Core::start(Destination& destination) {
  in_flight_.splice(in_flight_.end(), destination.waiting, destination.waiting.begin());
  Call& call = in_flight_.back();
  --metrics_.waiting;
  ++metrics_.in_flight;
  ++destination.in_flight;
  if (idle_.empty()) {
    call.transfer = std::make_unique<CurlTransfer>(multi_, options_);
  } else {
    call.transfer = std::move(idle_.back());
    idle_.pop_back();
  }
  const TimePoint latest = executor_.clock().now() + call.request.time_max;
  if (call.request.time_max > Duration{} && latest < call.deadline) {
    executor_.cancel(call.timer);
    call.timer = executor_.schedule(latest, [this, &call] { on_deadline(call); });
  }
  call.transfer->begin(call.request, call.host, &call);
  multi_.add(call.transfer->easy());
}

Done CurlHttpClient::Core::end(Call& call) {
  Destination& destination = *call.destination;
  executor_.cancel(call.timer);
  LS_MUST(request_bytes_ >= call.bytes);
  request_bytes_ -= call.bytes;
  Done done = std::move(call.done);
  if (call.transfer == nullptr) {
    --metrics_.waiting;
    destination.waiting.erase(call.self);
  } else {
    metrics_.connections += static_cast<std::uint64_t>(call.transfer->connections_made());
    --metrics_.in_flight;
    --destination.in_flight;
    idle_.push_back(std::move(call.transfer));
    in_flight_.erase(call.self);
  }
  queue(destination);
  if (!ready_.empty()) start_soon();
  if (destination.waiting.empty() && destination.in_flight == 0 && !destination.queued)
    destinations_.erase(destination.name);
  return done;
}

void CurlHttpClient::Core::count(const Result<env::HttpReply>& result) {
  ++(result.ok() ? metrics_.answered : metrics_.failed);
  if (result.status().code() == Code::permission_denied) ++metrics_.refused;
}

void CurlHttpClient::Core::on_deadline(Call& call) {
  const Status why = call.transfer != nullptr
                         ? call.transfer->give_up()
                         : Status(Code::deadline_exceeded, "waited until no time was left");
  count(why);
  end(call)(why);
}

void CurlHttpClient::Core::on_finished(const std::vector<std::pair<CURL*, CURLcode>>& ended) {
  const std::shared_ptr<Core> self = shared_from_this();  // a callback may destroy the client
  for (const auto& [easy, code] : ended) {
    if (closed_) return;  // close() has answered them all
    Call& call = *static_cast<Call*>(CurlTransfer::owner_of(easy));
    LS_MUST(call.transfer != nullptr && call.transfer->easy() == easy);
    Result<env::HttpReply> result = call.transfer->finish(code);
    if (result.ok()) call.destination->answered = true;
    count(result);
    end(call)(std::move(result));
  }
}

void CurlHttpClient::Core::close() {
  closed_ = true;
  std::vector<Done> left;
  while (!in_flight_.empty()) {
    static_cast<void>(in_flight_.front().transfer->give_up());
    left.push_back(end(in_flight_.front()));
  }
  ready_.clear();
  for (auto& [name, destination] : destinations_) {
    for (Call& call : destination.waiting) {
      executor_.cancel(call.timer);
      left.push_back(std::move(call.done));
    }
  }
  destinations_.clear();
  idle_.clear();
  for (Done& done : left) done(closing());
}

Result<std::unique_ptr<CurlHttpClient>> CurlHttpClient::create(AsioExecutor& executor,
                                                               HttpClientOptions options) {
  static std::once_flag initialised;
  std::call_once(initialised, [] { LS_MUST(::curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK); });
  if (!options.ca_file.empty()) {
    TlsOptions trust;  // read once now: libcurl would say so at each call
    trust.ca_file = options.ca_file;
    LS_RETURN_IF_ERROR(TlsContext::for_connecting(trust).status());
  }
  return std::unique_ptr<CurlHttpClient>(
      new CurlHttpClient(std::make_shared<Core>(executor, std::move(options))));
}

CurlHttpClient::CurlHttpClient(std::shared_ptr<Core> core) : core_(std::move(core)) {}

CurlHttpClient::~CurlHttpClient() {
  core_->close();
}

void CurlHttpClient::call(env::HttpCall call, TimePoint deadline,
                          std::move_only_function<void(Result<env::HttpReply>)> done) {
  core_->call(std::move(call), deadline, std::move(done));
}

Status CurlHttpClient::refusal_of(const std::string& url) const {
  return core_->refusal_of(url);
}

const HttpClientMetrics& CurlHttpClient::metrics() const {
  return core_->metrics();
}

}  // namespace lockstep::platform
