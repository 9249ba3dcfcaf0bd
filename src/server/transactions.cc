#include "server/transactions.h"

#include <string>
#include <utility>

#include "base/assert.h"
#include "service/transaction/state.h"

namespace lockstep::server {
namespace {

namespace tx = service::transaction;

// A new leader coordinates about this much later.
constexpr Duration look_interval = 20ms;

tx::CoordinatorOptions coordinator_options(const TransactionRunner::Options& options, Logger& logger) {
  tx::CoordinatorOptions coordinator;
  // What the gate lets through is begun at once, or its shares would say nothing.
  const platform::HttpClientOptions client;
  LS_MUST(coordinator.calls_max <= client.in_flight_max);
  LS_MUST(coordinator.calls_per_host_max <= client.in_flight_per_destination_max);
  coordinator.name = options.name;
  coordinator.principal = options.principal;
  coordinator.alarm = [&logger](const tx::Alarm& alarm) {
    logger.warning(
        "a transaction needs an operator",
        {{"gid", alarm.gid}, {"mode", std::string(tx::to_string(alarm.mode))}, {"why", alarm.reason}});
  };
  return coordinator;
}

}  // namespace

TransactionRunner::TransactionRunner(const service::Context& context, env::HttpClient& client, Logger& logger,
                                     Options options)
    : context_(context),
      leads_(std::move(options.leads)),
      coordinator_(context, client, coordinator_options(options, logger)) {
  if (leads_) look();
}

TransactionRunner::~TransactionRunner() {
  context_.executor.cancel(timer_);
}

void TransactionRunner::look() {
  const bool leads = leads_();
  if (std::exchange(led_, leads) != leads) coordinator_.lead(leads);
  timer_ = context_.executor.schedule(context_.clock.now() + look_interval, [this] { look(); });
}

TransactionFigures figures_of(const TransactionRunner* runner, const platform::CurlHttpClient& callouts) {
  TransactionFigures figures;
  if (runner != nullptr) figures.coordinator = runner->figures();
  figures.calls = callouts.metrics();
  return figures;
}

void write_metrics(const TransactionFigures& figures, gateway::MetricsText* text) {
  const tx::CoordinatorFigures& coordinator = figures.coordinator;
  text->gauge("lockstep_transactions_coordinates", "1 for the server that drives the transactions.",
              coordinator.coordinates ? 1 : 0);
  text->counter("lockstep_transactions_take_overs_total", "How often this server became the one.",
                coordinator.take_overs);
  text->gauge("lockstep_transactions_unfinished", "Transactions under way, where they are driven.",
              coordinator.unfinished);
  text->gauge("lockstep_transactions_need_operator", "Of these, those that somebody must look at.",
              coordinator.need_operator);
  text->family("lockstep_transactions_finished_total", gateway::MetricsText::Kind::counter,
               "Transactions that this server brought to their end, by how.");
  text->sample({{"state", "committed"}}, coordinator.committed);
  text->sample({{"state", "aborted"}}, coordinator.aborted);
  text->sample({{"state", "failed"}}, coordinator.failed);
  text->counter("lockstep_transactions_transitions_total", "Steps recorded.", coordinator.transitions);
  text->counter("lockstep_transactions_batches_total", "Writes that carried them.", coordinator.batches);
  text->counter("lockstep_transactions_conflicts_total", "Steps that somebody else's edit was before.",
                coordinator.conflicts);
  text->gauge("lockstep_transactions_calls_under_way", "Calls of participants.", coordinator.calls_under_way);
  text->counter("lockstep_transactions_calls_total", "Attempts to call participants.",
                coordinator.calls_sent);
  text->counter("lockstep_transactions_calls_failed_total", "Of these, those without an outcome.",
                coordinator.calls_failed);
  text->counter("lockstep_calls_refused_total", "Calls to addresses that may not be called.",
                figures.calls.refused);
  text->counter("lockstep_calls_turned_away_total", "Calls beyond a bound, not sent.",
                figures.calls.turned_away);
  text->counter("lockstep_calls_connections_total", "Connections made to other people's services.",
                figures.calls.connections);
}

}  // namespace lockstep::server
