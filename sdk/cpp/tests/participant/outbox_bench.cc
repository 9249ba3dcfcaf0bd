// Rows a second through the outbox's relay on each database, with every commit synced, counted by the
// receiver.
//
// usage: outbox_bench [rows]
#include <chrono>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <lockstep/participant/outbox.h>

#include "testing_databases.h"

namespace {

using namespace lockstep;
using Clock = std::chrono::steady_clock;

void fill(SqlSession& session, std::int64_t rows) {
  const std::string payload(200, 'p');
  for (std::int64_t done = 0; done < rows;) {
    SqlTransaction transaction(session);
    for (int i = 0; i < 1000 && done < rows; ++i, ++done) {
      Outbox::add(session, "orders", "key" + std::to_string(done % 997), payload);
    }
    transaction.commit();
  }
}

double relayed_a_second(SqlDialect dialect, std::int64_t rows) {
  testing_databases::Server* server = testing_databases::server(dialect);
  server->create_space("bench");
  SqlSessions sessions([&] { return server->open("bench"); });
  Outbox::create_table(*sessions.take());
  fill(*sessions.take(), rows);
  std::int64_t received = 0;
  OutboxRelay relay(sessions, [&](std::span<const OutboxRow> batch) {
    received += static_cast<std::int64_t>(batch.size());
    return std::vector<OutboxResult>(batch.size(), OutboxResult::acknowledged());
  });
  const auto began = Clock::now();
  relay.run_once();
  const std::chrono::duration<double> seconds = Clock::now() - began;
  if (received != rows) throw std::runtime_error("not every row was received");
  return static_cast<double>(rows) / seconds.count();
}

}  // namespace

int main(int count, char** arguments) {
  const std::int64_t rows = count > 1 ? std::stoll(arguments[1]) : 100'000;
  testing_databases::make_durable();
  for (const SqlDialect dialect : testing_databases::dialects()) {
    std::cout << testing_databases::name_of(dialect) << ' '
              << static_cast<std::int64_t>(relayed_a_second(dialect, rows)) << " rows/s\n";
  }
}
