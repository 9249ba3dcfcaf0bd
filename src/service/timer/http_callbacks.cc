#include "service/timer/http_callbacks.h"

#include <algorithm>
#include <charconv>
#include <stop_token>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "service/contenders.h"
#include "service/names.h"
#include "service/store_requests.h"
#include "service/timer/timers.h"
#include "service/timer/values.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr std::size_t answer_bytes_max = 64 * 1024;
constexpr Duration look_interval = 1s;
constexpr Duration call_time_max = 5s;
// Each queue costs a claim that waits. Those beyond, in the order of their names, are not sent.
constexpr std::int64_t queues_max = 4096;
constexpr std::int64_t retry_after_s_max = 24 * 3600;

std::string escaped(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string header;
  for (const char c : text) {
    if (c > ' ' && c <= '~' && c != '%') {
      header += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    header += {'%', digits[byte / 16], digits[byte % 16]};
  }
  return header;
}

// In seconds; a date is not looked at.
Duration retry_after(std::string_view text) {
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0) return {};
  return std::chrono::seconds(std::min(seconds, retry_after_s_max));
}

}  // namespace

env::HttpCall http_call_of(const CallbackRequest& request) {
  env::HttpCall call;
  call.url = request.target;
  call.body = request.payload;
  call.answer_bytes_max = answer_bytes_max;
  const bool json = nlohmann::json::accept(request.payload);
  call.headers = {{"Content-Type", json ? "application/json" : "application/octet-stream"},
                  {"Lockstep-Timer-Queue", escaped(request.queue)},
                  {"Lockstep-Timer-Name", escaped(request.name)},
                  {"Lockstep-Timer-Token", std::to_string(request.token.value())},
                  {"Lockstep-Timer-Attempt", std::to_string(request.attempt)}};
  if (request.wall.has_value())
    call.headers.emplace_back("Lockstep-Timer-Scheduled", std::to_string(*request.wall / 1ms));
  return call;
}

CallbackAnswer callback_answer_of(const Result<env::HttpReply>& reply) {
  // Its status came with it, but is not known: it is asked once more, as if nothing had come.
  if (!reply.ok()) return reply.status();
  if (reply->status >= 200 && reply->status < 300) return Status();
  CallbackAnswer answer(
      Status(Code::unavailable, "timer: the receiver answered " + std::to_string(reply->status)));
  answer.stop = reply->status == 410;
  answer.not_before = retry_after(reply->retry_after);
  return answer;
}

void HttpCallbackSender::send(CallbackRequest request, TimePoint deadline,
                              std::move_only_function<void(CallbackAnswer)> done) {
  client_.call(http_call_of(request), deadline,
               [done = std::move(done)](const Result<env::HttpReply>& reply) mutable {
                 done(callback_answer_of(reply));
               });
}

class TimerCallbacks::Queues : public std::enable_shared_from_this<Queues> {
 public:
  Queues(const Context& context, env::HttpClient& client, CallbackOptions options)
      : context_(context), sender_(client), options_(std::move(options)) {}

  static Task<void> look(std::shared_ptr<Queues> self) {
    while (!self->stop_.stop_requested()) {
      store::RangeRequest request = one_key(std::string(timer_sent_prefix));
      request.range_end = prefix_end(request.key);
      request.keys_only = true;
      request.serializable = true;
      request.limit = queues_max;
      const Result<store::RangeResponse> found = co_await store::awaitable::range(
          self->context_.store, std::move(request), self->call(call_time_max));
      if (self->stop_.stop_requested()) co_return;
      if (found.ok()) self->adopt(*found);
      const TimePoint next = self->context_.clock.now() + look_interval;
      static_cast<void>(co_await pause_until(self->context_, next, self->call(2 * look_interval)));
    }
  }

  void stop() {
    stop_.request_stop();
    runners.clear();
  }

  std::map<std::string, std::unique_ptr<CallbackRunner>, std::less<>> runners;
  std::uint64_t sent_by_others = 0;  // by runners that are gone
  std::uint64_t failed_by_others = 0;

 private:
  [[nodiscard]] store::CallOptions call(Duration within) const {
    store::CallOptions options;
    options.principal = options_.principal;
    options.deadline = context_.clock.now() + within;
    options.cancellation = stop_.get_token();
    return options;
  }

  void adopt(const store::RangeResponse& found) {
    std::map<std::string, std::unique_ptr<CallbackRunner>, std::less<>> known = std::move(runners);
    runners.clear();
    for (const store::KeyValue& kv : found.kvs) {
      CallbackOptions options = options_;
      options.queue = kv.key.substr(timer_sent_prefix.size());
      if (!check_timer_queue(options.queue).ok()) continue;
      auto old = known.extract(options.queue);
      if (!old.empty()) {
        runners.insert(std::move(old));
      } else {
        runners.emplace(options.queue, std::make_unique<CallbackRunner>(context_, sender_, options));
      }
    }
    for (const auto& [queue, gone] : known) {
      sent_by_others += gone->sent();
      failed_by_others += gone->failed();
    }
  }

  Context context_;
  HttpCallbackSender sender_;
  CallbackOptions options_;
  std::stop_source stop_;
};

TimerCallbacks::TimerCallbacks(const Context& context, env::HttpClient& client, CallbackOptions options)
    : queues_(std::make_shared<Queues>(context, client, std::move(options))) {
  Queues::look(queues_).detach();
}

TimerCallbacks::~TimerCallbacks() {
  queues_->stop();
}

std::uint64_t TimerCallbacks::sent() const {
  std::uint64_t sum = queues_->sent_by_others;
  for (const auto& [queue, runner] : queues_->runners) sum += runner->sent();
  return sum;
}

std::uint64_t TimerCallbacks::failed() const {
  std::uint64_t sum = queues_->failed_by_others;
  for (const auto& [queue, runner] : queues_->runners) sum += runner->failed();
  return sum;
}

std::size_t TimerCallbacks::queues() const {
  return queues_->runners.size();
}

}  // namespace lockstep::service
