// What a member may say to watches that a healthy one of ours does not: a login that ran out, too much asked,
// ids that are used again.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "proto/auth_service.pb.h"
#include "proto/kv.pb.h"
#include "world.h"

namespace lockstep::remote_test {
namespace {

namespace pb = etcdserverpb;

// A member whose watches answer what the test says.
class FakeMember {
 public:
  explicit FakeMember(World& world) : server_(world.strand, world.strand) {
    server_.unary("/etcdserverpb.Auth/Authenticate",
                  [this](const rpc::ServerCallPtr& call, std::string_view) {
                    pb::AuthenticateResponse response;
                    response.set_token("token-" + std::to_string(++logins));
                    call->respond(response.SerializeAsString());
                  });
    server_.streaming("/etcdserverpb.Watch/Watch", [this](rpc::ServerCallPtr call) {
      ++streams;
      return std::make_unique<Handler>(*this, std::move(call));
    });
    world.network().serve("fake:1", server_);
  }
  ~FakeMember() { server_.close(); }
  FakeMember(const FakeMember&) = delete;
  FakeMember& operator=(const FakeMember&) = delete;

  static remote::ConnectionsOptions options(const std::string& user = {}) {
    remote::ConnectionsOptions options;
    options.endpoints = {"fake:1"};
    options.user = user;
    return options;
  }
  void say(std::int64_t id, const std::function<void(pb::WatchResponse&)>& fill) {
    pb::WatchResponse response;
    response.mutable_header()->set_revision(10);
    response.set_watch_id(id);
    fill(response);
    stream->send(response.SerializeAsString());
  }
  void say_event(std::int64_t id, const std::string& key, std::int64_t revision) {
    say(id, [&](pb::WatchResponse& response) {
      response.mutable_header()->set_revision(revision);
      auto* kv = response.add_events()->mutable_kv();
      kv->set_key(key);
      kv->set_mod_revision(revision);
      kv->set_create_revision(revision);
      kv->set_version(1);
    });
  }
  void say_created(std::int64_t id) {
    say(id, [](pb::WatchResponse& response) { response.set_created(true); });
  }

  // Says something to a create request for the key.
  std::function<void(const std::string& key)> on_create;
  rpc::ServerCallPtr stream;
  int logins = 0;
  int streams = 0;

 private:
  class Handler final : public rpc::ServerStreamHandler {
   public:
    Handler(FakeMember& member, rpc::ServerCallPtr call) : member_(member) {
      member_.stream = std::move(call);
    }
    void on_message(std::string_view bytes) override {
      pb::WatchRequest request;
      ASSERT_TRUE(request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
      if (request.has_create_request()) member_.on_create(request.create_request().key());
    }
    void on_half_close() override {}
    void on_cancelled() override {}

   private:
    FakeMember& member_;
  };
  rpc::Server server_;
};

std::vector<std::string> keys_of(store::Subscription& subscription, std::string* reason = nullptr) {
  std::vector<std::string> keys;
  while (std::optional<store::WatchResponse> response = subscription.next(1 << 20)) {
    for (const store::Event& event : response->events) keys.push_back(event.kv.key);
    if (response->canceled && reason != nullptr) *reason = response->cancel_reason;
  }
  return keys;
}

// etcd says so in the answer to the create request, not as the stream's end.
TEST(WatchRefusals, AnExpiredTokenIsReplacedAndTheWatchGoesOn) {
  World world(FakeMember::options("root"));
  FakeMember member(world);
  member.on_create = [&](const std::string&) {
    if (member.stream->metadata("token") == "token-2") return member.say_created(0);
    member.say(-1, [](pb::WatchResponse& response) {
      response.set_created(true);
      response.set_canceled(true);
      response.set_cancel_reason("rpc error: code = Unauthenticated desc = etcdserver: invalid auth token");
    });
  };
  const auto subscription = *world.store().watch({.key = "k"});
  world.strand.pass(5s);
  EXPECT_EQ(member.logins, 2);
  member.say_event(0, "k", 11);
  world.strand.settle();
  EXPECT_EQ(keys_of(*subscription), std::vector<std::string>{"k"});
  member.stream.reset();
}

TEST(WatchRefusals, ALoginThatNeverHelpsEndsTheWatch) {
  World world(FakeMember::options("root"));
  FakeMember member(world);
  member.on_create = [&](const std::string&) {
    member.say(-1, [](pb::WatchResponse& response) {
      response.set_created(true);
      response.set_canceled(true);
      response.set_cancel_reason("etcdserver: revision of auth store is old");
    });
  };
  const auto subscription = *world.store().watch({.key = "k"});
  world.strand.pass(60s);
  std::string reason;
  EXPECT_TRUE(keys_of(*subscription, &reason).empty());
  EXPECT_EQ(reason, "etcdserver: revision of auth store is old");
  EXPECT_EQ(member.streams, 4);
  member.stream.reset();
}

TEST(WatchRefusals, AStreamEndedForAskingTooMuchIsOpenedAgainAfterAPause) {
  World world(FakeMember::options());
  FakeMember member(world);
  member.on_create = [&](const std::string&) {
    member.say_created(0);
    if (member.streams == 1)
      member.stream->finish({rpc::GrpcCode::resource_exhausted, "etcdserver: too many requests", {}});
  };
  const auto subscription = *world.store().watch({.key = "k"});
  world.strand.pass(50ms);
  EXPECT_EQ(member.streams, 1) << "not at once";
  world.strand.pass(5s);
  EXPECT_EQ(member.streams, 2);
  member.say_event(0, "k", 11);
  world.strand.settle();
  EXPECT_EQ(keys_of(*subscription), std::vector<std::string>{"k"});
  member.stream.reset();
}

// A watch whose second life ends before it began still knows the id of its first, which is another's by now.
TEST(WatchRefusals, AWatchThatEndsTakesNoOtherWithIt) {
  World world(FakeMember::options());
  FakeMember member(world);
  // The server answers in the order of the requests: "c" first on the second stream, with the id that "a"
  // had.
  bool again = false;
  std::vector<std::string> asked;
  member.on_create = [&](const std::string& key) {
    asked.push_back(key);
    if (!again) return member.say_created(key == "a" ? 0 : 1);
    if (asked.size() < 2) return;
    ASSERT_EQ(asked, (std::vector<std::string>{"c", "a"}));
    member.say_created(0);
    member.say(-1, [](pb::WatchResponse& response) {
      response.set_created(true);
      response.set_canceled(true);
      response.set_cancel_reason("refused");
    });
  };
  const auto c = *world.store().watch({.key = "c"});
  const auto a = *world.store().watch({.key = "a"});
  world.strand.pass(10ms);
  asked.clear();
  again = true;
  member.stream->finish({rpc::GrpcCode::unavailable, "", {}});
  world.strand.pass(5s);
  ASSERT_EQ(asked.size(), 2);
  member.say_event(0, "c", 12);
  world.strand.settle();
  std::string reason;
  EXPECT_TRUE(keys_of(*a, &reason).empty());
  EXPECT_EQ(reason, "refused");
  EXPECT_EQ(keys_of(*c), std::vector<std::string>{"c"});
  member.stream.reset();
}

}  // namespace
}  // namespace lockstep::remote_test
