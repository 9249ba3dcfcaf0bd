// This server's part in distributed transactions.
//
// Every server runs a coordinator; which one works is the store's to say (service/transaction/coordinator.h).
// A member tells its own when it leads the cluster's log, so that it coordinates where the log is written.
// One on somebody else's cluster is told nothing, and takes over when nobody coordinates.
//
// Strand only. What it is given outlives it.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "env/executor.h"
#include "env/http_client.h"
#include "gateway/pages/metrics_text.h"
#include "platform/http_client.h"
#include "server/logger.h"
#include "service/context.h"
#include "service/transaction/coordinator.h"

namespace lockstep::server {

struct TransactionFigures {
  service::transaction::CoordinatorFigures coordinator;
  platform::HttpClientMetrics calls;
};
void write_metrics(const TransactionFigures& figures, gateway::MetricsText* text);

class TransactionRunner;
// Null: nothing runs yet.
TransactionFigures figures_of(const TransactionRunner* runner, const platform::CurlHttpClient& callouts);

class TransactionRunner {
 public:
  struct Options {
    std::string name;
    store::Principal principal;
    std::function<bool()> leads;  // whether this member leads the log now; empty: nobody knows
  };
  TransactionRunner(const service::Context& context, env::HttpClient& client, Logger& logger,
                    Options options);
  ~TransactionRunner();
  TransactionRunner(const TransactionRunner&) = delete;
  TransactionRunner& operator=(const TransactionRunner&) = delete;

  [[nodiscard]] service::transaction::CoordinatorFigures figures() const { return coordinator_.figures(); }

 private:
  void look();

  service::Context context_;
  std::function<bool()> leads_;
  service::transaction::Coordinator coordinator_;
  std::optional<bool> led_;  // as the coordinator was told
  env::TimerId timer_;
};

}  // namespace lockstep::server
