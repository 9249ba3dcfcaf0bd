// Load on streams: watchers of one key while others write it, and lease renewals.
//
// Strand only; the connections, clock and executor outlive these, and no stream outlives its object.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cli/load.h"

namespace lockstep::cli {

// So many watchers of the key of make_stamped_put(), each on a stream of its own.
class WatchLoad {
 public:
  WatchLoad(env::Clock& clock, LoadConnections& connections, const LoadOptions& options,
            std::size_t watchers);
  ~WatchLoad();
  // Calls back once, when every watch is created, or one failed.
  void open(std::move_only_function<void(Status)> done);
  // From now on events count.
  void count() { counting_ = true; }
  [[nodiscard]] std::uint64_t events() const { return delays_.count(); }
  // From sending the put to its arrival here.
  [[nodiscard]] const Histogram& delays() const { return delays_; }

 private:
  class Handler;
  void on_message(std::string_view message);
  void on_end(const rpc::CallResult& result);

  env::Clock& clock_;
  LoadConnections& connections_;
  LoadOptions options_;
  std::vector<std::shared_ptr<rpc::ClientStream>> streams_;
  std::size_t uncreated_;
  bool counting_ = false;
  Histogram delays_;
  std::move_only_function<void(Status)> opened_;
};

// Renewals of leases, of each the next when the last is answered. They share `streams` streams of each
// connection, as etcd's clients renew all leases on one; zero: each has its own.
class RenewalLoad {
 public:
  RenewalLoad(env::Executor& executor, env::Clock& clock, LoadConnections& connections,
              const LoadOptions& options, std::size_t streams);
  ~RenewalLoad();
  void run(std::move_only_function<void()> done);
  [[nodiscard]] const LoadResult& result() const { return result_; }

 private:
  class Handler;
  struct Slot;
  struct Stream {
    std::shared_ptr<rpc::ClientStream> stream;
    std::deque<Slot*> asked;  // answers come in the order of the questions
  };
  struct Slot {
    std::size_t connection = 0;
    Stream* stream = nullptr;
    std::uint64_t lease = 0;
    std::string request;
    TimePoint sent_at{};
  };
  void grant(Slot& slot);
  void begin();
  void send(Slot& slot, TimePoint now);
  void on_message(Stream& stream, std::string_view message);
  void on_end(Stream& stream, const std::string& why);
  void fail(const std::string& why);
  void ended();

  env::Executor& executor_;
  env::Clock& clock_;
  LoadConnections& connections_;
  LoadOptions options_;
  std::vector<Stream> streams_;
  std::vector<Slot> slots_;
  std::size_t ungranted_ = 0;
  std::size_t running_ = 0;
  bool stopping_ = false;
  env::TimerId end_timer_;
  TimePoint begun_{};
  Duration processor_from_{};
  LoadResult result_;
  std::move_only_function<void()> done_;
};

}  // namespace lockstep::cli
