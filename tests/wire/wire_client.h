// gRPC to several servers from one thread: the same question to all at once, and streams that are read until
// they said enough. Uses nothing of ours above the channel: requests and answers are bytes.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "platform/executor.h"
#include "platform/system.h"
#include "platform/tcp_streams.h"
#include "rpc/channel.h"

namespace lockstep::wire_test {

struct Answer {
  rpc::GrpcStatus status;
  std::string message;
};

class WireClient;

// One stream; ends with this object.
class WireStream {
 public:
  WireStream(WireClient& client, rpc::Channel& channel, std::string_view path);
  ~WireStream();
  WireStream(const WireStream&) = delete;
  WireStream& operator=(const WireStream&) = delete;

  void send(const std::string& message) { stream_->send(message); }
  // Waits for the next message. Not ok: the stream ended, or nothing came for a long time.
  Answer next();
  // Nothing has come that was not taken.
  [[nodiscard]] bool quiet() const;

 private:
  struct Inbox;
  class Handler;
  WireClient& client_;
  std::shared_ptr<Inbox> inbox_;
  std::shared_ptr<rpc::ClientStream> stream_;
};

class WireClient {
 public:
  WireClient() : executor_(clock_), streams_(executor_) {}

  // Stays valid as long as this.
  rpc::Channel& connect(const std::string& endpoint);
  struct Question {
    rpc::Channel* channel = nullptr;
    std::string_view path;
    std::string message;
  };
  // All at the same time; the answers in the order of the questions.
  std::vector<Answer> ask(const std::vector<Question>& questions);
  // Runs until `condition` holds; false if that takes very long.
  bool run_until(const std::function<bool()>& condition);
  [[nodiscard]] TimePoint now() { return clock_.now(); }

 private:
  platform::RealClock clock_;
  platform::AsioExecutor executor_;
  platform::TcpStreams streams_;
  std::vector<std::unique_ptr<rpc::Channel>> channels_;
};

}  // namespace lockstep::wire_test
