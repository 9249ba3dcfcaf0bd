// A participant with an account: what the tests of barriers and XA call, and look at.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <lockstep/participant/participant.h>

#include "testing_databases.h"

namespace lockstep::testing_databases {

// Tables of its own on a real server; 1000 in account 'a'.
class Bank {
 public:
  explicit Bank(SqlDialect dialect, ParticipantOptions options = {})
      : server_(server(dialect)),
        space_(next_space()),
        sessions_([this] { return server_->open(space_); }),
        participant_(sessions_, std::move(options)) {
    server_->create_space(space_);
    const SqlSessions::Lent session = sessions_.take();
    const std::string engine = dialect == SqlDialect::mariadb ? " ENGINE = InnoDB" : "";
    session->execute("CREATE TABLE account (name VARCHAR(20) PRIMARY KEY, balance BIGINT NOT NULL)" + engine);
    session->execute("INSERT INTO account VALUES ('a', 1000)");
  }

  // `operation` changes the balance by `amount`, and counts.
  void moves(BranchOperation operation, std::int64_t amount, const std::string& body = {}) {
    participant_.on(operation, [this, amount, body](BranchCall& call) {
      call.sql().execute("UPDATE account SET balance = balance + ? WHERE name = 'a'", {amount});
      ++runs_;
      if (pause_) pause_();
      return BranchAnswer::done(body);
    });
  }

  BranchAnswer call(BranchMode mode, BranchOperation operation, const std::string& transaction,
                    const std::string& branch = "b1", std::string_view body = {}) {
    return participant_.handle(BranchContext(transaction, branch, mode, operation), body);
  }
  BranchAnswer tcc(BranchOperation operation, const std::string& transaction) {
    return call(BranchMode::tcc, operation, transaction);
  }
  BranchAnswer xa(BranchOperation operation, const std::string& transaction,
                  const std::string& branch = "b1") {
    return call(BranchMode::xa, operation, transaction, branch);
  }

  std::int64_t balance() { return number("SELECT balance FROM account WHERE name = 'a'"); }
  std::int64_t number(std::string_view query) {
    return std::stoll(sessions_.take()->execute(query).rows.at(0).at(0).value_or("-1"));
  }

  Server& database() { return *server_; }
  SqlSessions& sessions() { return sessions_; }
  Participant& participant() { return participant_; }
  [[nodiscard]] int runs() const { return runs_; }  // of handlers, committed or not
  void pause(std::function<void()> pause) { pause_ = std::move(pause); }

 private:
  static std::string next_space() {
    static std::atomic<int> number = 0;
    return "space" + std::to_string(++number);
  }

  Server* server_;
  std::string space_;
  SqlSessions sessions_;
  Participant participant_;
  std::atomic<int> runs_ = 0;
  std::function<void()> pause_;
};

// `work(i)` for 0 … count - 1, in eight threads.
inline void side_by_side(int count, const std::function<void(int)>& work) {
  std::atomic<int> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int mine = next++; mine < count; mine = next++) work(mine);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

inline std::string dialect_name(const ::testing::TestParamInfo<SqlDialect>& info) {
  return std::string(name_of(info.param));
}

}  // namespace lockstep::testing_databases
