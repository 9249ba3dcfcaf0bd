// Streams of states whose range cannot be followed for a while.
#include "gateway/v1/follow.h"

#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "service/testing/watched_store.h"
#include "store/awaitable.h"

namespace lockstep::gateway::v1 {
namespace {

using service::testing::Running;
using service::testing::WatchedStore;

// A client that reads, until it does not.
class Reader final : public EventSink {
 public:
  Task<bool> send(std::string event, std::string id, JsonText data) override {
    told.push_back(event + " " + std::move(data).take());
    if (!reads) {
      auto start = [this](auto done) { read_on_ = std::move(done); };
      co_await from_callback<bool>(std::move(start));
    }
    co_return id.empty() == (event == "restarted");
  }
  void read_on() {
    reads = true;
    std::exchange(read_on_, nullptr)(true);
  }

  bool reads = true;
  std::vector<std::string> told;

 private:
  std::move_only_function<void(bool)> read_on_;
};

class Follow : public ::testing::Test {
 protected:
  ~Follow() override {
    stop_.request_stop();
    pass(5s);
    EXPECT_FALSE(following_->waits());
  }
  void put(const std::string& value) {
    store::PutRequest put;
    put.key = "k";
    put.value = value;
    store_.put(put, {}, [this](const Result<store::PutResponse>& done) {
      ASSERT_TRUE(done.ok());
      written_ = done->header.revision;
    });
    store_.strand.run();
  }
  void compact() {
    store::CompactRequest request;
    request.revision = written_;
    store_.compact(request, {}, [](const Result<store::CompactResponse>& done) { ASSERT_TRUE(done.ok()); });
    store_.strand.run();
  }
  void pass(Duration time) {
    store_.strand.run();
    for (Duration passed{}; passed < time; passed += 100ms) {
      store_.strand.advance(100ms);
      store_.strand.run();
    }
  }
  void begin() {
    Following what;
    what.key = "k";
    what.read = [this](store::CallOptions options) { return read(this, std::move(options)); };
    store::CallOptions options;
    options.cancellation = stop_.get_token();
    following_.emplace(follow(&recipes_, std::move(what), options, &reader_));
    store_.strand.run();
  }
  static Task<Result<State>> read(Follow* self, store::CallOptions options) {
    if (self->refusal_.has_value()) co_return *self->refusal_;
    store::RangeRequest request;
    request.key = "k";
    const Result<store::RangeResponse> found =
        co_await store::awaitable::range(self->store_, std::move(request), std::move(options));
    if (!found.ok()) co_return found.status();
    JsonText json;
    json.text("v", found->kvs.empty() ? "" : std::string(found->kvs[0].value));
    co_return State{"state", std::move(json), found->header.revision};
  }
  // What was told since the last time.
  std::vector<std::string> told() { return std::exchange(reader_.told, {}); }

  using Lines = std::vector<std::string>;
  WatchedStore store_;
  service::testing::SeededRandom random_;
  Coordination recipes_{{store_, store_.strand, store_.strand, random_}};
  Reader reader_;
  std::stop_source stop_;
  Revision written_;
  std::optional<Status> refusal_;
  std::optional<Running<Status>> following_;
};

TEST_F(Follow, WhatComesIsToldOnce) {
  put("a");
  begin();
  put("b");
  put("b");
  put("c");
  EXPECT_EQ(told(), (Lines{R"(state {"v":"a"})", R"(state {"v":"b"})", R"(state {"v":"c"})"}));
}

// Its client does not read, and meanwhile what it did not read is compacted.
TEST_F(Follow, WhatIsCompactedIsGoneOnFromNowWithANotice) {
  put("a");
  begin();
  told();
  reader_.reads = false;
  put("b");
  put("c");
  put("d");
  compact();
  reader_.read_on();
  pass(2s);
  const Lines lines = told();
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0], R"(state {"v":"b"})");
  EXPECT_TRUE(
      lines[1].starts_with("restarted {\"reason\":\"etcdserver: mvcc: required revision has been compacted"))
      << lines[1];
  EXPECT_EQ(lines[2], R"(state {"v":"d"})");
  put("e");
  EXPECT_EQ(told(), Lines{R"(state {"v":"e"})"}) << "it is followed again";
}

TEST_F(Follow, AStoreThatIsAwayForAWhileIsWaitedFor) {
  put("a");
  store_.fail_call(1, WatchedStore::Fault::refused);
  begin();
  EXPECT_EQ(told(), Lines{R"(state {"v":"a"})"}) << "watching was refused";
  pass(2s);
  const std::string notice = R"(restarted {"reason":"etcdserver: no leader"})";
  EXPECT_EQ(told(), (Lines{notice, R"(state {"v":"a"})"}));
  refusal_ = Status(Code::unavailable, "etcdserver: no leader");
  put("b");
  pass(10s);
  EXPECT_EQ(told(), Lines{}) << "nothing is known";
  refusal_.reset();
  pass(2s);
  EXPECT_EQ(told(), (Lines{notice, R"(state {"v":"b"})"}));
}

TEST_F(Follow, WhatDoesNotPassIsAnError) {
  put("a");
  begin();
  refusal_ = Status(Code::permission_denied, "etcdserver: permission denied");
  put("b");
  ASSERT_FALSE(following_->waits());
  EXPECT_EQ(following_->result(), *refusal_);
  EXPECT_EQ(told(), Lines{R"(state {"v":"a"})"});
}

TEST_F(Follow, ForTheFirstStateNobodyWaits) {
  refusal_ = Status(Code::unavailable, "etcdserver: no leader");
  begin();
  ASSERT_FALSE(following_->waits());
  EXPECT_EQ(following_->result(), *refusal_);
}

}  // namespace
}  // namespace lockstep::gateway::v1
