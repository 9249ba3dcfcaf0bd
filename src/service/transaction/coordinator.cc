#include "service/transaction/coordinator.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <stop_token>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "service/flat_json.h"
#include "service/record/record.h"
#include "service/session/session.h"
#include "service/store_requests.h"
#include "service/transaction/keys.h"
#include "service/transaction/page_size.h"
#include "service/transaction/term.h"
#include "service/waiting.h"
#include "store/awaitable.h"

namespace lockstep::service::transaction {
namespace {

constexpr Duration call_time_max = 5s;
constexpr Duration pause_after_error = 200ms;
constexpr std::uint64_t pause_spread_ms = 300;
constexpr std::int64_t page_keys = 500;
constexpr std::size_t answers_per_turn_max = 16;
// Whatever falls due within thousands of years can still be stored.
constexpr std::int64_t clock_ms_max = stored_ms_max / 2;

}  // namespace

class Coordinator::Run : public std::enable_shared_from_this<Run> {
 public:
  Run(const Context& context, env::HttpClient& client, CoordinatorOptions options)
      : context_(context), client_(client), options_(std::move(options)), signal_(context) {}

  static Task<void> run(std::shared_ptr<Run> self) {
    while (!self->stop_.stop_requested()) {
      Status status = co_await self->wait_for_work();
      if (status.ok() && !self->stop_.stop_requested()) status = co_await self->wait_for_turn();
      if (status.ok() && !self->stop_.stop_requested()) status = co_await self->coordinate();
      if (status.ok() || self->stop_.stop_requested()) continue;
      const Duration spread = std::chrono::milliseconds(self->context_.random.next() % pause_spread_ms);
      const TimePoint later = self->context_.clock.now() + pause_after_error + spread;
      static_cast<void>(co_await pause_until(self->context_, later, self->until_stopped()));
    }
  }

  void stop() {
    stop_.request_stop();
    if (term_ != nullptr) term_->stop();
    signal_.set();
  }
  void lead(bool leads) {
    if (hint_ == leads) return;
    hint_ = leads;
    eager_ = leads;
    resigns_ = !leads;
    signal_.set();
  }
  [[nodiscard]] const CoordinatorFigures& figures() const { return figures_; }

 private:
  [[nodiscard]] store::CallOptions until_stopped() const {
    store::CallOptions options;
    options.principal = options_.principal;
    options.cancellation = stop_.get_token();
    return options;
  }
  [[nodiscard]] store::CallOptions call() const {
    store::CallOptions options;
    options.principal = options_.principal;
    options.deadline = context_.clock.now() + call_time_max;
    return options;
  }
  Result<std::unique_ptr<store::Subscription>> watch(std::string_view key, std::string_view range_end,
                                                     Revision from, bool patient = false) {
    store::WatchRequest request;
    request.patient = patient;
    request.key = key;
    request.range_end = range_end;
    request.start_revision = from;
    return context_.store.watch(std::move(request), until_stopped());
  }

  // Nothing is written before there is a transaction: whoever uses none sees nothing of this.
  Task<Status> wait_for_work() {
    while (!stop_.stop_requested()) {
      store::RangeRequest any = one_key(std::string(transactions_prefix));
      any.range_end = end_of_prefix(transactions_prefix);
      any.limit = 1;
      any.keys_only = true;
      any.serializable = true;  // what it misses comes by the watch; and a server without a leader can stop
      const Result<store::RangeResponse> found =
          co_await store::awaitable::range(context_.store, std::move(any), call());
      if (!found.ok()) co_return found.status();
      if (!found->kvs.empty()) co_return Status();
      // Every server stands here as long as nobody uses transactions.
      const auto events =
          watch(transactions_prefix, end_of_prefix(transactions_prefix), found->header.revision.next(), true);
      if (!events.ok()) co_return events.status();
      const Signal signal = signal_;
      (*events)->notify_when_ready([signal] { signal.set(); });
      static_cast<void>(co_await signal_.wait(no_deadline, stop_.get_token()));
    }
    co_return Status();
  }

  // ok: take over now.
  Task<Status> wait_for_turn() {
    while (!stop_.stop_requested()) {
      if (eager_) co_return Status();
      const Result<store::RangeResponse> found =
          co_await store::awaitable::range(context_.store, one_key(std::string(coordinator_key)), call());
      if (!found.ok()) co_return found.status();
      if (found->kvs.empty()) {
        if (!hint_.has_value() || *hint_) co_return Status();
        const Wake wake =
            co_await signal_.wait(context_.clock.now() + options_.fallback_after, stop_.get_token());
        if (wake == Wake::deadline && co_await is_still_vacant()) co_return Status();
        continue;
      }
      const auto events = watch(coordinator_key, {}, found->header.revision.next(), true);
      if (!events.ok()) co_return events.status();
      const Signal signal = signal_;
      (*events)->notify_when_ready([signal] { signal.set(); });
      static_cast<void>(co_await signal_.wait(no_deadline, stop_.get_token()));
    }
    co_return Status();
  }

  Task<bool> is_still_vacant() {
    const Result<store::RangeResponse> found =
        co_await store::awaitable::range(context_.store, one_key(std::string(coordinator_key)), call());
    co_return found.ok() && found->kvs.empty();
  }

  struct Office {
    Revision epoch;
    std::int64_t clock_ms = 0;
  };
  Task<Result<Office>> take_over(LeaseId lease) {
    const std::string nonce = to_hexadecimal(context_.random.next());
    FlatJsonWriter json;
    json.text("name", options_.name).text("nonce", nonce).number("since_ms", context_.clock.wall_now() / 1ms);
    const std::string value = json.str();
    store::TxnRequest txn;
    txn.success.push_back(operation(put_of(std::string(coordinator_key), value, lease)));
    txn.success.push_back(operation(one_key(std::string(clock_key))));
    const Result<store::TxnResponse> answer =
        co_await store::awaitable::txn(context_.store, std::move(txn), call());
    if (!answer.ok()) co_return answer.status();
    const store::RangeResponse* clock = range_at(*answer, 1);
    if (clock == nullptr) co_return service::errors::answer_of_other_shape();
    Office office;
    office.epoch = answer->header.revision;
    if (!clock->kvs.empty()) {
      const Result<FlatJson> shown = FlatJson::parse(clock->kvs[0].value);
      // A damaged clock begins anew: what was due by it is done late, or now; nothing is lost.
      const std::int64_t now_ms = shown.ok() ? shown->number("now_ms").value_or(0) : 0;
      if (now_ms > 0 && now_ms <= clock_ms_max) office.clock_ms = now_ms;
    }
    co_return office;
  }

  Task<Status> coordinate() {
    eager_ = false;
    resigns_ = false;
    SessionOptions session_options;
    session_options.ttl = options_.session_ttl;
    const Result<SessionPtr> session = co_await open_session(context_, session_options, call());
    if (!session.ok()) co_return session.status();
    // After an unknown outcome its lease is given up: then the key, if it is there, goes with it.
    const Result<Office> office = co_await take_over((*session)->id());
    Status ended = office.status();
    if (office.ok()) ended = co_await serve(*session, *office);
    figures_.coordinates = false;
    term_.reset();
    static_cast<void>(co_await (*session)->close(call()));
    co_return ended;
  }

  Task<Status> serve(SessionPtr session, Office office) {
    ++figures_.take_overs;
    figures_.coordinates = true;
    term_ =
        std::make_shared<Term>(context_, client_, options_, office.epoch, office.clock_ms, figures_, signal_);
    const std::shared_ptr<Term> term = term_;
    term->start();
    Reign reign{.session = session, .term = term, .epoch = office.epoch};
    for (auto& [subscription, prefix] : {std::pair(&reign.definitions, definitions_prefix),
                                         std::pair(&reign.unfinished, unfinished_prefix)}) {
      auto made = watch(prefix, end_of_prefix(prefix), office.epoch.next());
      if (!made.ok()) co_return made.status();
      *subscription = *std::move(made);
    }
    auto own = watch(coordinator_key, {}, office.epoch.next());
    if (!own.ok()) co_return own.status();
    reign.own = *std::move(own);
    const Signal signal = signal_;
    const std::stop_callback lost(session->over(), [signal] { signal.set(); });
    if (Status loaded = co_await load_unfinished(reign); !loaded.ok()) co_return loaded;
    if (Status loaded = co_await load_remembered(reign); !loaded.ok()) co_return loaded;
    if (Status loaded = co_await load_finished(reign); !loaded.ok()) co_return loaded;
    term->knows_finished();
    co_return co_await follow(reign);
  }

  // A time in office: its session, its term, and what is watched meanwhile.
  struct Reign {
    SessionPtr session;
    std::shared_ptr<Term> term;
    Revision epoch;
    std::unique_ptr<store::Subscription> definitions;
    std::unique_ptr<store::Subscription> unfinished;
    std::unique_ptr<store::Subscription> own;
  };

  [[nodiscard]] bool should_end(const Reign& reign) const {
    return stop_.stop_requested() || reign.term->over() || !reign.session->alive() || resigns_;
  }

  Task<Status> follow(Reign& reign) {
    Term& term = *reign.term;
    while (!should_end(reign)) {
      const Result<bool> more = take_events(reign);
      if (!more.ok()) co_return more.status();
      term.pump();
      if (should_end(reign)) break;
      if (*more) {
        signal_.set();  // others on the strand first
      } else {
        for (auto* one : {&reign.definitions, &reign.unfinished, &reign.own}) {
          (*one)->notify_when_ready([signal = signal_] { signal.set(); });
        }
      }
      static_cast<void>(co_await signal_.wait(no_deadline, stop_.get_token()));
    }
    term.stop();
    // Deposed: no hurry. Otherwise whoever was told to lead tries again.
    if (!term.over() && hint_ == true) eager_ = true;
    co_return Status();
  }

  static Status check_own(Reign& reign) {
    const auto answer = reign.own->next(1024);
    if (!answer.has_value() || (!answer->canceled && answer->events.empty())) return {};
    // Somebody took over, or the lease is gone.
    reign.term->stop();
    return {Code::unavailable, "transaction: another coordinates"};
  }

  // True: there may be more.
  static Result<bool> take_events(Reign& reign) {
    LS_RETURN_IF_ERROR(check_own(reign));
    Term& term = *reign.term;
    for (std::size_t i = 0; i < answers_per_turn_max; ++i) {
      const auto answer = reign.definitions->next(256 * 1024);
      if (!answer.has_value()) break;
      if (answer->canceled) return lost_sight();
      for (const store::Event& event : answer->events) {
        if (event.kind == store::EventKind::put) term.see_definition(event.kv);
      }
    }
    for (std::size_t i = 0; i < answers_per_turn_max; ++i) {
      const auto answer = reign.unfinished->next(256 * 1024);
      if (!answer.has_value()) return false;
      if (answer->canceled) return lost_sight();
      for (const store::Event& event : answer->events) {
        if (event.kind == store::EventKind::put) {
          term.see_unfinished(event.kv);
        } else {
          term.see_removed(std::string_view(event.kv.key).substr(unfinished_prefix.size()),
                           event.kv.mod_revision);
        }
      }
      term.see_progress(answer->header.revision);
    }
    return true;
  }
  static Status lost_sight() {
    return {Code::unavailable, "transaction: the transactions could not be watched"};
  }

  using Page = std::vector<store::KeyValue>;
  // What stood under a prefix when the epoch began; a part of it if the reign ends meanwhile.
  Task<Status> load_pages(Reign& reign, std::string_view prefix, PageSize size, bool keys_only,
                          std::function<Status(const Page&)> see) {
    std::string from(prefix);
    while (!should_end(reign)) {
      store::RangeRequest page = one_key(from);
      page.range_end = end_of_prefix(prefix);
      page.revision = reign.epoch;
      page.limit = size.keys();
      page.keys_only = keys_only;
      const Result<store::RangeResponse> found =
          co_await store::awaitable::range(context_.store, std::move(page), call());
      if (should_end(reign)) break;
      if (!found.ok()) co_return found.status();
      size.saw(found->kvs);
      if (Status seen = see(found->kvs); !seen.ok()) co_return seen;
      reign.term->pump();
      if (!found->more || found->kvs.empty()) break;
      from = found->kvs.back().key + '\0';
    }
    co_return Status();
  }

  Task<Status> load_unfinished(Reign& reign) {
    co_return co_await load_pages(reign, unfinished_prefix, PageSize(page_keys), false,
                                  [&reign](const Page& page) {
                                    for (const store::KeyValue& kv : page) reign.term->see_unfinished(kv);
                                    return check_own(reign);
                                  });
  }

  // Small ones, of which it is known when they finished. There may be very many: what is new goes on
  // meanwhile.
  Task<Status> load_remembered(Reign& reign) {
    std::vector<std::pair<std::int64_t, FinishedOnes::One>> all;
    const auto see = [&reign, &all](const Page& page) {
      for (const store::KeyValue& kv : page) {
        const Result<State> state = parse_state(kv.value);
        all.push_back({state.ok() ? state->remembered_ms : 0,
                       {kv.key.substr(remembered_prefix.size()), kv.mod_revision, 0, false, true}});
      }
      return take_events(reign).status();
    };
    Status loaded = co_await load_pages(reign, remembered_prefix, PageSize(8 * page_keys), false, see);
    if (!loaded.ok()) co_return loaded;
    std::ranges::sort(all, {}, [](const auto& one) { return std::pair(one.first, one.second.revision); });
    for (auto& [since_ms, one] : all) reign.term->see_remembered(std::move(one), since_ms);
    co_return Status();
  }

  // When they finished is not known any more: they are kept from now on, the oldest first.
  Task<Status> load_finished(Reign& reign) {
    std::vector<std::pair<Revision, std::string>> all;
    const auto see = [&reign, &all](const Page& page) {
      for (const store::KeyValue& kv : page) {
        all.emplace_back(kv.mod_revision, kv.key.substr(finished_prefix.size()));
      }
      return take_events(reign).status();
    };
    Status loaded = co_await load_pages(reign, finished_prefix, PageSize(8 * page_keys), true, see);
    if (!loaded.ok()) co_return loaded;
    std::ranges::sort(all);
    for (auto& [revision, gid] : all) reign.term->see_finished(std::move(gid), revision);
    co_return Status();
  }

  Context context_;
  env::HttpClient& client_;
  CoordinatorOptions options_;
  Signal signal_;
  std::stop_source stop_;
  std::optional<bool> hint_;
  bool eager_ = false;  // to take over, whoever coordinates
  bool resigns_ = false;
  CoordinatorFigures figures_;
  std::shared_ptr<Term> term_;
};

Coordinator::Coordinator(const Context& context, env::HttpClient& client, CoordinatorOptions options)
    : run_(std::make_shared<Run>(context, client, std::move(options))) {
  Run::run(run_).detach();
}

Coordinator::~Coordinator() {
  run_->stop();
}

void Coordinator::lead(bool leads) {
  run_->lead(leads);
}

CoordinatorFigures Coordinator::figures() const {
  return run_->figures();
}

}  // namespace lockstep::service::transaction
