// Many sessions that hold a lock each and do nothing but stay alive: what a fleet costs while nothing
// happens.
//
// Every session is a lease with a key of etcd's lock service. Sessions are spread over the connections; each
// connection renews its own together, on one stream, three times in a ttl, the connections one after the
// other.
//
// Strand only; connections, clock and executor outlive it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/load.h"

namespace lockstep::cli {

class SessionLoad {
 public:
  SessionLoad(env::Executor& executor, env::Clock& clock, LoadConnections& connections,
              const LoadOptions& options, std::size_t sessions, Duration ttl);
  ~SessionLoad();
  // Opens all sessions. Calls back once: when every one holds its lock, or with the first error.
  void open(std::move_only_function<void(Status)> done);
  // Keeps them for the duration of the options. A miss is a session that was lost.
  void run(std::move_only_function<void()> done);
  [[nodiscard]] const LoadResult& result() const { return result_; }
  // For a line of progress.
  [[nodiscard]] std::size_t opened() const { return opened_; }

 private:
  class Handler;
  struct Line {
    std::vector<std::uint64_t> leases;
    std::size_t wanted = 0;
    std::size_t being_opened = 0;
    std::shared_ptr<rpc::ClientStream> stream;
    TimePoint sent_at{};
    env::TimerId timer;
  };
  void open_next(std::size_t line);
  void take_lock(std::size_t line, std::uint64_t lease);
  void finish_opening(const Status& status);
  void renew(std::size_t line);
  void on_message(std::size_t line, std::string_view message);
  void end();

  env::Executor& executor_;
  env::Clock& clock_;
  LoadConnections& connections_;
  LoadOptions options_;
  std::size_t sessions_;
  Duration ttl_;
  std::vector<Line> lines_;
  std::size_t opened_ = 0;
  std::string request_;
  std::move_only_function<void(Status)> opening_;
  std::move_only_function<void()> done_;
  env::TimerId end_timer_;
  TimePoint begun_{};
  Duration processor_from_{};
  LoadResult result_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace lockstep::cli
