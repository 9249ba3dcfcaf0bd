// A call without a connection, for tests: what the handler answers is kept, and the client reads when it is
// told to.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/assert.h"
#include "rpc/server_call.h"

namespace lockstep::gateway::testing {

class FakeCall final : public rpc::ServerCall {
 public:
  using Metadata = std::map<std::string, std::string, std::less<>>;
  explicit FakeCall(std::string method, Metadata metadata = {}, TimePoint deadline = no_deadline)
      : method_(std::move(method)), metadata_(std::move(metadata)), deadline_(deadline) {}

  [[nodiscard]] std::string_view method() const override { return method_; }
  [[nodiscard]] std::optional<std::string_view> metadata(std::string_view name) const override {
    const auto place = metadata_.find(name);
    if (place == metadata_.end()) return std::nullopt;
    return place->second;
  }
  [[nodiscard]] TimePoint deadline() const override { return deadline_; }
  [[nodiscard]] std::stop_token cancellation() override { return stop_.get_token(); }
  [[nodiscard]] bool ended() const override { return ended_; }
  [[nodiscard]] std::string remote_address() const override { return "test"; }
  [[nodiscard]] std::string_view peer_common_name() const override { return {}; }

  void send(std::string_view message) override {
    if (ended_) return;
    answers_.emplace_back(message);
    if (!reading_) unsent_bytes_ += message.size();
  }
  [[nodiscard]] std::size_t unsent_bytes() const override { return unsent_bytes_; }
  void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) override {
    LS_MUST(!ready_, "one notification at a time");
    ready_ = std::move(ready);
    ready_below_bytes_ = bytes;
  }
  void finish(const rpc::GrpcStatus& status) override {
    if (std::exchange(ended_, true)) return;
    status_ = status;
  }
  void respond(std::string_view message) override {
    send(message);
    finish({});
  }

  // ---- the client's side
  std::optional<std::string> take_answer() {
    if (answers_.empty()) return std::nullopt;
    std::string first = std::move(answers_.front());
    answers_.pop_front();
    return first;
  }
  [[nodiscard]] std::size_t answers() const { return answers_.size(); }
  // Nothing before the handler finished the call.
  [[nodiscard]] const std::optional<rpc::GrpcStatus>& status() const { return status_; }
  void stop_reading() { reading_ = false; }
  // Reads everything; true if the handler waited for that and is to be told now.
  void read() {
    reading_ = true;
    unsent_bytes_ = 0;
    if (ready_ && !ended_) std::exchange(ready_, nullptr)();
  }
  void cancel() {
    ended_ = true;
    stop_.request_stop();
  }

 private:
  std::string method_;
  Metadata metadata_;
  TimePoint deadline_;
  std::stop_source stop_;
  std::deque<std::string> answers_;
  std::optional<rpc::GrpcStatus> status_;
  std::size_t unsent_bytes_ = 0;
  std::move_only_function<void()> ready_;
  std::size_t ready_below_bytes_ = 0;
  bool reading_ = true;
  bool ended_ = false;
};

// Where services register, by path.
class FakeRegistry final : public rpc::ServiceRegistry {
 public:
  void unary(std::string_view path, rpc::UnaryHandler handler) override {
    LS_MUST(unary_.emplace(std::string(path), std::move(handler)).second);
  }
  void streaming(std::string_view path, rpc::StreamHandlerFactory factory) override {
    LS_MUST(streaming_.emplace(std::string(path), std::move(factory)).second);
  }
  [[nodiscard]] const rpc::UnaryHandler* find_unary(std::string_view path) const {
    const auto place = unary_.find(path);
    return place == unary_.end() ? nullptr : &place->second;
  }
  [[nodiscard]] const rpc::StreamHandlerFactory* find_streaming(std::string_view path) const {
    const auto place = streaming_.find(path);
    return place == streaming_.end() ? nullptr : &place->second;
  }

 private:
  std::map<std::string, rpc::UnaryHandler, std::less<>> unary_;
  std::map<std::string, rpc::StreamHandlerFactory, std::less<>> streaming_;
};

}  // namespace lockstep::gateway::testing
