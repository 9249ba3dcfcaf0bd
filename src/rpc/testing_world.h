// For tests: a strand with virtual time, and connections made of memory whose every byte can be looked at.
// Single-threaded and deterministic.
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/stream.h"

namespace lockstep::rpc {

class TestStrand final : public env::Executor, public env::Clock {
 public:
  void post(env::Closure closure) override { queue_.push_back(std::move(closure)); }
  void post_from_any_thread(env::Closure closure) override { post(std::move(closure)); }
  env::TimerId schedule(TimePoint deadline, env::Closure closure) override {
    const env::TimerId id(++last_timer_);
    timers_.emplace(std::pair(deadline, id), std::move(closure));
    return id;
  }
  void cancel(env::TimerId timer) override {
    std::erase_if(timers_, [&](const auto& entry) { return entry.first.second == timer; });
  }
  void at_turn_end(env::Closure closure) override { turn_end_.push_back(std::move(closure)); }
  TimePoint now() override { return now_; }
  Duration wall_now() override { return now_.time_since_epoch(); }

  // Until nothing is left to do at this moment.
  void settle() {
    while (!queue_.empty() || !turn_end_.empty()) turn();
  }
  void turn() {
    for (env::Closure& closure : std::exchange(queue_, {})) std::exchange(closure, nullptr)();
    for (env::Closure& closure : std::exchange(turn_end_, {})) std::exchange(closure, nullptr)();
  }
  void pass(Duration duration) {
    const TimePoint end = now_ + duration;
    settle();
    while (!timers_.empty() && timers_.begin()->first.first <= end) {
      now_ = std::max(now_, timers_.begin()->first.first);
      auto node = timers_.extract(timers_.begin());
      node.mapped()();
      settle();
    }
    now_ = end;
  }
  [[nodiscard]] std::size_t timers() const { return timers_.size(); }

 private:
  TimePoint now_{1h};
  std::uint64_t last_timer_ = 0;
  std::vector<env::Closure> queue_;
  std::vector<env::Closure> turn_end_;
  std::map<std::pair<TimePoint, env::TimerId>, env::Closure> timers_;
};

// One direction of a connection.
struct TestFlow {
  std::string bytes;            // written, not yet read
  std::size_t room = SIZE_MAX;  // what may wait unread before writes stop
  bool ended = false;           // by its writer
  bool at_once = false;         // write_now() takes what there is room for
  bool held = false;            // nothing may leave, and nothing is written
  std::uint64_t writes = 0;
};

class TestStream final : public env::Stream {
 public:
  TestStream(TestStrand& strand, std::shared_ptr<TestFlow> in, std::shared_ptr<TestFlow> out)
      : strand_(strand), in_(std::move(in)), out_(std::move(out)) {}
  ~TestStream() override { close(); }

  void async_read_some(std::span<char> buffer, Done done) override {
    LS_MUST(!buffer.empty());
    LS_MUST(!read_);
    read_buffer_ = buffer;
    read_ = std::move(done);
    poll();
  }
  void async_write_some(std::span<const std::string_view> buffers, Done done) override {
    LS_MUST(!buffers.empty());
    LS_MUST(!write_);
    LS_MUST(!out_->held);
    write_bytes_ = buffers.front();
    LS_MUST(!write_bytes_.empty());
    write_ = std::move(done);
    poll();
  }
  std::size_t write_now(std::string_view bytes) override {
    LS_MUST(!write_);
    LS_MUST(!out_->held);
    if (closed_ || !out_->at_once) return 0;
    const std::size_t taken = std::min(bytes.size(), out_->room - std::min(out_->room, out_->bytes.size()));
    out_->bytes.append(bytes.substr(0, taken));
    out_->writes += taken == 0 ? 0 : 1;
    if (taken != 0 && other_ != nullptr) other_->poll();
    return taken;
  }
  [[nodiscard]] bool held() const override { return out_->held; }
  void close() override {
    if (std::exchange(closed_, true)) return;
    in_->room = SIZE_MAX;
    out_->ended = true;
    if (other_ != nullptr) other_->other_ = nullptr;
    if (TestStream* other = std::exchange(other_, nullptr)) other->poll();
    poll();
  }
  void end_writes() override {
    out_->ended = true;
    if (other_ != nullptr) other_->poll();
  }
  [[nodiscard]] std::string remote_address() const override { return "192.0.2.7:4711"; }
  [[nodiscard]] std::string peer_common_name() const override { return "client-1"; }

  static void join(TestStream& a, TestStream& b) {
    a.other_ = &b;
    b.other_ = &a;
  }
  // Looks again whether something can go on.
  void poll() {
    if (std::exchange(polling_, true)) return;
    strand_.post([this, alive = std::weak_ptr<int>(alive_)] {
      if (alive.expired()) return;
      polling_ = false;
      go_on();
    });
  }

  [[nodiscard]] std::weak_ptr<int> alive() const { return alive_; }
  [[nodiscard]] std::shared_ptr<TestFlow> sends() const { return out_; }

 private:
  void go_on() {
    const auto broken = std::make_error_code(std::errc::connection_reset);
    const std::weak_ptr<int> alive = alive_;
    if (read_ && (closed_ || !in_->bytes.empty() || in_->ended)) {
      const std::size_t taken = closed_ ? 0 : std::min(read_buffer_.size(), in_->bytes.size());
      std::copy_n(in_->bytes.begin(), taken, read_buffer_.begin());
      in_->bytes.erase(0, taken);
      if (taken != 0 && other_ != nullptr) other_->poll();
      std::exchange(read_, nullptr)(taken == 0 ? broken : std::error_code(), taken);
      if (alive.expired()) return;
    }
    const std::size_t room = out_->room - std::min(out_->room, out_->bytes.size());
    if (write_ && (closed_ || room != 0)) {
      const std::size_t taken = closed_ ? 0 : std::min(room, write_bytes_.size());
      out_->bytes.append(write_bytes_.substr(0, taken));
      out_->writes += taken == 0 ? 0 : 1;
      if (taken != 0 && other_ != nullptr) other_->poll();
      std::exchange(write_, nullptr)(taken == 0 ? broken : std::error_code(), taken);
    }
  }

  TestStrand& strand_;
  std::shared_ptr<TestFlow> in_;
  std::shared_ptr<TestFlow> out_;
  TestStream* other_ = nullptr;
  std::span<char> read_buffer_;
  Done read_;
  std::string_view write_bytes_;
  Done write_;
  bool polling_ = false;
  bool closed_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// A connection whose far end the test plays by hand.
struct TestWire {
  explicit TestWire(TestStrand& strand)
      : stream(std::make_unique<TestStream>(strand, to_stream, from_stream)), end(stream.get()) {}
  // The far end sends.
  void send(std::string_view bytes) {
    to_stream->bytes.append(bytes);
    if (alive.lock() != nullptr) end->poll();
  }
  // The far end closes.
  void hang_up() {
    to_stream->ended = true;
    from_stream->room = SIZE_MAX;
    if (alive.lock() != nullptr) end->poll();
  }
  // What the near end sent since the last call.
  std::string received() { return std::exchange(from_stream->bytes, {}); }
  [[nodiscard]] bool ended() const { return from_stream->ended; }

  std::shared_ptr<TestFlow> to_stream = std::make_shared<TestFlow>();
  std::shared_ptr<TestFlow> from_stream = std::make_shared<TestFlow>();
  std::unique_ptr<TestStream> stream;  // to be given away
  TestStream* end;
  std::weak_ptr<int> alive = end->alive();  // as long as the near end keeps the stream
};

inline std::pair<std::unique_ptr<TestStream>, std::unique_ptr<TestStream>> connected_pair(
    TestStrand& strand) {
  auto one_way = std::make_shared<TestFlow>();
  auto other_way = std::make_shared<TestFlow>();
  auto a = std::make_unique<TestStream>(strand, one_way, other_way);
  auto b = std::make_unique<TestStream>(strand, other_way, one_way);
  TestStream::join(*a, *b);
  return {std::move(a), std::move(b)};
}

}  // namespace lockstep::rpc
