// A server session on its stream: reads, writes, times out, lingers. Internal to rpc.
//
// Outstanding operations share ownership; a closed connection ignores them and touches its owner no more.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include "env/clock.h"
#include "env/executor.h"
#include "env/stream.h"
#include "rpc/pipe.h"
#include "rpc/server_session.h"

namespace lockstep::rpc {

class ServerConnection;

class ConnectionOwner {
 public:
  virtual ~ConnectionOwner() = default;
  // flush() is wanted at the end of the turn.
  virtual void on_output(ServerConnection& connection) = 0;
  virtual void on_closed(ServerConnection& connection) = 0;
};

class ServerConnection final : public SessionHost,
                               public PipeUser,
                               public std::enable_shared_from_this<ServerConnection> {
 public:
  ServerConnection(ConnectionOwner& owner, ServerShared& shared, env::Executor& executor, env::Clock& clock,
                   std::unique_ptr<env::Stream> stream);
  ~ServerConnection() override;

  void start(std::string_view already_read);
  // Writes what the session has, unless a write is under way.
  void flush() {
    unflushed = false;
    if (!lingering_) pipe_->flush();
  }
  // About once a second.
  void on_tick(TimePoint now);
  void begin_drain();
  void close();
  [[nodiscard]] std::size_t calls() const { return session_.calls(); }

  std::size_t slot = 0;  // of the owner
  bool unflushed = false;

 private:
  void on_output(Output kind) override;
  void on_deadline(TimePoint deadline) override;
  void work_off_soon() override;
  env::Executor& executor() override { return executor_; }

  void on_bytes(std::string_view bytes) override;
  void produce(std::string& out, std::size_t bytes) override { session_.produce(out, bytes); }
  bool produce_early(std::string& out, std::size_t bytes) override {
    return session_.produce_early(out, bytes);
  }
  void on_held() override { on_output(Output::control); }
  void on_written() override;
  void on_nothing_to_write() override;
  void on_lost(std::error_code /*error*/) override { close(); }
  void on_deadline_timer();
  void check_keepalive(TimePoint now);
  void check_stall(TimePoint now);
  void drain_further();

  ConnectionOwner* owner_;
  ServerShared& shared_;
  env::Executor& executor_;
  env::Clock& clock_;
  std::shared_ptr<Pipe> pipe_;
  ServerSession session_;
  bool lingering_ = false;  // said everything, waits for the other side to close
  bool closed_ = false;
  int drain_ticks_ = -1;  // since begin_drain()
  TimePoint opened_;
  TimePoint last_read_;
  TimePoint last_progress_;
  std::uint64_t progress_ = 0;       // as last looked at: of a write, or of what windows let through
  std::uint64_t written_bytes_ = 0;  // as last counted
  TimePoint pinged_{};
  TimePoint deadline_armed_ = no_deadline;
  env::TimerId deadline_timer_;
};

}  // namespace lockstep::rpc
