#include "service/compaction/auto_compaction.h"

#include <algorithm>
#include <deque>
#include <stop_token>
#include <utility>

#include "base/assert.h"
#include "base/text_values.h"
#include "service/store_requests.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service {
namespace {

constexpr Duration revision_interval = 300s;
constexpr Duration sample_interval_max = 360s;
constexpr Duration sample_interval_min = 10ms;
constexpr int samples_per_retention = 10;
constexpr Duration call_time_max = 10s;
// Read only for the revision that the answer carries; nothing need stand there.
constexpr std::string_view any_key = "lockstep/";

}  // namespace

Result<CompactionRule> parse_compaction_rule(std::string_view mode, std::string_view retention) {
  const Result<std::uint64_t> number = parse_number(retention);
  CompactionRule rule;
  if (mode == "revision") {
    if (!number.ok() || *number > static_cast<std::uint64_t>(INT64_MAX))
      return Status(Code::invalid_argument,
                    "'" + std::string(retention) + "' is no number of revisions, as by revision it must be");
    rule.revisions = static_cast<std::int64_t>(*number);
    return rule;
  }
  if (mode != "periodic")
    return Status(Code::invalid_argument, "'" + std::string(mode) + "' is none of periodic, revision");
  constexpr std::uint64_t hours_max = compaction_retention_max / std::chrono::hours(1);
  if (number.ok()) {  // as etcd reads it
    rule.age = std::chrono::hours(std::min(*number, hours_max + 1));
  } else {
    LS_ASSIGN_OR_RETURN(rule.age, parse_duration(retention));
  }
  if (rule.age < Duration{} || rule.age > compaction_retention_max ||
      (rule.age > Duration{} && rule.age < 1s))
    return Status(Code::invalid_argument,
                  "'" + std::string(retention) + "' is not between 1s and a year, or 0");
  return rule;
}

class AutoCompaction::Run : public std::enable_shared_from_this<Run> {
 public:
  Run(const Context& context, const CompactionRule& rule, std::function<bool()> leads,
      store::Principal principal)
      : context_(context), rule_(rule), leads_(std::move(leads)), principal_(principal) {
    LS_MUST(rule.revisions == 0 || rule.age == Duration{});
  }

  static Task<void> go_on(std::shared_ptr<Run> self) {
    const Duration interval = self->rule_.revisions > 0
                                  ? revision_interval
                                  : std::clamp<Duration>(self->rule_.age / samples_per_retention,
                                                         sample_interval_min, sample_interval_max);
    while (true) {
      const TimePoint next = self->context_.clock.now() + interval;
      store::CallOptions waiting;
      waiting.cancellation = self->stop_.get_token();
      static_cast<void>(co_await pause_until(self->context_, next, waiting));
      if (self->stop_.stop_requested()) co_return;
      co_await self->look();
      if (self->stop_.stop_requested()) co_return;
    }
  }
  void stop() { stop_.request_stop(); }

  Revision compacted;

 private:
  struct Sample {
    TimePoint at;  // the revision was current then, or later
    Revision revision;
  };

  [[nodiscard]] store::CallOptions call() const {
    store::CallOptions options;
    options.principal = principal_;
    options.deadline = context_.clock.now() + call_time_max;
    options.cancellation = stop_.get_token();
    return options;
  }

  Task<void> look() {
    store::RangeRequest request = one_key(std::string(any_key));
    request.serializable = true;
    request.count_only = true;
    const Result<store::RangeResponse> read =
        co_await store::awaitable::range(context_.store, std::move(request), call());
    if (!read.ok() || stop_.stop_requested()) co_return;
    const Revision target = rule_.revisions > 0 ? Revision(read->header.revision.value() - rule_.revisions)
                                                : aged(context_.clock.now(), read->header.revision);
    if (target <= compacted || !leads_()) co_return;
    store::CompactRequest compaction;
    compaction.revision = target;
    const Result<store::CompactResponse> done =
        co_await store::awaitable::compact(context_.store, compaction, call());
    // Compacted by somebody else, further: as good. Anything else is tried again.
    if (done.ok() || done.status().code() == Code::out_of_range) compacted = std::max(compacted, target);
  }

  // The newest revision that is old enough; zero: none.
  Revision aged(TimePoint now, Revision current) {
    samples_.push_back({now, current});
    Revision target;
    while (!samples_.empty() && samples_.front().at + rule_.age <= now) {
      target = samples_.front().revision;
      samples_.pop_front();
    }
    target_ = std::max(target_, target);
    return target_;
  }

  Context context_;
  CompactionRule rule_;
  std::function<bool()> leads_;
  store::Principal principal_;
  std::stop_source stop_;
  std::deque<Sample> samples_;
  Revision target_;
};

AutoCompaction::AutoCompaction(const Context& context, const CompactionRule& rule,
                               std::function<bool()> leads, store::Principal principal)
    : run_(std::make_shared<Run>(context, rule, std::move(leads), principal)) {
  if (!rule.off()) Run::go_on(run_).detach();
}

AutoCompaction::~AutoCompaction() {
  run_->stop();
}

Revision AutoCompaction::compacted() const {
  return run_->compacted;
}

}  // namespace lockstep::service
