// Whole members on the real platform: threads, sockets, files, RocksDB. What the simulator stubs out is here;
// faults and orders of events are the simulator's (src/sim).
#include <filesystem>
#include <future>
#include <memory>
#include <stdlib.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "engine/rocksdb_engine.h"
#include "platform/platform.h"
#include "replica/replica.h"

namespace lockstep {
namespace {

using namespace std::chrono_literals;

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "lockstep-member-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// One member with a thread of its own as the strand.
class Member {
 public:
  Member(std::string directory, NodeId node, std::vector<replica::Member> founders)
      : directory_(std::move(directory)), node_(node), founders_(std::move(founders)) {}
  ~Member() { stop(); }

  void start() {
    platform::PlatformOptions options;
    options.data_directory = directory_;
    options.cluster = ClusterId(7);
    options.node = node_;
    options.log = [](std::string_view) {};
    for (const replica::Member& founder : founders_) {
      if (founder.id == node_) options.listen_address = founder.address;
    }
    auto platform = platform::Platform::open(options);
    ASSERT_TRUE(platform.ok()) << platform.status().to_string();
    platform_ = *std::move(platform);
    auto engine = engine::open_rocksdb_engine(directory_ + "/engine", {});
    ASSERT_TRUE(engine.ok()) << engine.status().to_string();
    engine_ = *std::move(engine);
    thread_ = std::thread([this] { platform_->run(); });
    const Status opened = on_strand<Status>([this](std::promise<Status>& promise) {
      replica::Options replica_options;
      replica_options.cluster = ClusterId(7);
      replica_options.node = node_;
      replica_options.founders = founders_;
      replica_options.engine = engine_.get();
      replica_options.election_timeout = 300ms;
      replica_options.heartbeat_interval = 30ms;
      auto replica = replica::Replica::open(platform_->environment(), std::move(replica_options));
      const Status status = replica.status();
      if (status.ok()) replica_ = *std::move(replica);
      promise.set_value(status);
    });
    ASSERT_TRUE(opened.ok()) << opened.to_string();
  }

  void stop() {
    if (!platform_) return;
    on_strand<bool>([this](std::promise<bool>& promise) {
      replica_.reset();
      promise.set_value(true);
    });
    platform_->stop();
    thread_.join();
    platform_.reset();
    engine_.reset();
  }

  [[nodiscard]] bool running() const { return platform_ != nullptr; }

  // Runs `begin` on the strand and waits for the promise it was given.
  template <class T, class Begin>
  T on_strand(Begin begin) {
    auto promise = std::make_shared<std::promise<T>>();
    std::future<T> future = promise->get_future();
    platform_->executor().post_from_any_thread([promise, begin]() mutable { begin(*promise); });
    return future.get();
  }

  template <class Response, class Call>
  Result<Response> call(const Call& call) {
    return on_strand<Result<Response>>([this, call](std::promise<Result<Response>>& promise) mutable {
      call(*replica_, [&promise](Result<Response> result) { promise.set_value(std::move(result)); });
    });
  }

  Result<store::PutResponse> put(const std::string& key, const std::string& value, LeaseId lease = {}) {
    return call<store::PutResponse>([=](store::Store& store, store::Callback<store::PutResponse> done) {
      store::PutRequest request;
      request.key = key;
      request.value = value;
      request.lease = lease;
      store.put(std::move(request), {}, std::move(done));
    });
  }
  Result<store::RangeResponse> get(const std::string& key, Revision revision = {},
                                   bool serializable = false) {
    return call<store::RangeResponse>([=](store::Store& store, store::Callback<store::RangeResponse> done) {
      store::RangeRequest request;
      request.key = key;
      request.revision = revision;
      request.serializable = serializable;
      store.range(std::move(request), {}, std::move(done));
    });
  }
  store::Store& store() { return *replica_; }  // on the strand
  replica::ReplicaStatus status() {
    return on_strand<replica::ReplicaStatus>(
        [this](std::promise<replica::ReplicaStatus>& promise) { promise.set_value(replica_->status()); });
  }

 private:
  std::string directory_;
  NodeId node_;
  std::vector<replica::Member> founders_;
  std::unique_ptr<engine::Engine> engine_;  // outlives the platform's worker
  std::unique_ptr<platform::Platform> platform_;
  std::unique_ptr<replica::Replica> replica_;
  std::thread thread_;
};

// Tries until it is true; a generous deadline, so that only a broken member fails.
template <class Condition>
bool eventually(Condition condition) {
  for (int tries = 0; tries < 3000; ++tries) {
    if (condition()) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

std::vector<replica::Member> three_on_free_ports() {
  std::vector<replica::Member> members;
  // Ports of one process's own choice; a clash shows as a failure to listen.
  const int base = 20000 + static_cast<int>(getpid() % 20000);
  for (std::uint64_t id = 1; id <= 3; ++id) {
    members.push_back({NodeId(id), "127.0.0.1:" + std::to_string(base + static_cast<int>(id))});
  }
  return members;
}

TEST(LoneMember, ServesAndKeepsWhatItAcknowledgedOverARestart) {
  Folder folder;
  Member member(folder.path(), NodeId(1), {{NodeId(1), ""}});
  ASSERT_NO_FATAL_FAILURE(member.start());
  ASSERT_TRUE(member.put("a", "1").ok());
  const Result<store::PutResponse> second = member.put("a", "2");
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->header.revision, Revision(3));
  member.stop();
  ASSERT_NO_FATAL_FAILURE(member.start());
  const Result<store::RangeResponse> now = member.get("a");
  ASSERT_TRUE(now.ok()) << now.status().to_string();
  ASSERT_EQ(now->kvs.size(), 1u);
  EXPECT_EQ(now->kvs[0].value, "2");
  EXPECT_EQ(now->kvs[0].version, 2);
  const Result<store::RangeResponse> before = member.get("a", Revision(2));
  ASSERT_TRUE(before.ok());
  EXPECT_EQ(before->kvs.at(0).value, "1");
}

TEST(LoneMember, ALeaseEndsAndTakesItsKeys) {
  Folder folder;
  Member member(folder.path(), NodeId(1), {{NodeId(1), ""}});
  ASSERT_NO_FATAL_FAILURE(member.start());
  const auto granted = member.call<store::LeaseGrantResponse>(
      [](store::Store& store, store::Callback<store::LeaseGrantResponse> done) {
        store::LeaseGrantRequest request;
        request.ttl = 200ms;
        store.lease_grant(request, {}, std::move(done));
      });
  ASSERT_TRUE(granted.ok()) << granted.status().to_string();
  ASSERT_TRUE(member.put("leased", "x", granted->id).ok());
  EXPECT_TRUE(eventually([&] {
    const auto got = member.get("leased");
    return got.ok() && got->kvs.empty();
  }));
}

TEST(LoneMember, AWatcherSeesWhatIsWrittenInOrder) {
  Folder folder;
  Member member(folder.path(), NodeId(1), {{NodeId(1), ""}});
  ASSERT_NO_FATAL_FAILURE(member.start());
  ASSERT_TRUE(member.put("w/0", "before the watch").ok());
  using Watching = std::shared_ptr<store::Subscription>;
  Watching watching = member.on_strand<Watching>([&member](std::promise<Watching>& promise) {
    store::WatchRequest request;
    request.key = "w/";
    request.range_end = "w0";
    request.start_revision = Revision(2);
    auto subscription = member.store().watch(std::move(request));
    promise.set_value(subscription.ok() ? Watching(*std::move(subscription)) : nullptr);
  });
  ASSERT_NE(watching, nullptr);
  for (int i = 1; i < 20; ++i) ASSERT_TRUE(member.put("w/" + std::to_string(i), "after").ok());
  std::vector<std::int64_t> revisions;
  EXPECT_TRUE(eventually([&] {
    const auto some =
        member.on_strand<std::vector<std::int64_t>>([&](std::promise<std::vector<std::int64_t>>& promise) {
          std::vector<std::int64_t> got;
          while (auto answer = watching->next(1 << 20)) {
            for (const store::Event& event : answer->events) got.push_back(event.kv.mod_revision.value());
          }
          promise.set_value(std::move(got));
        });
    revisions.insert(revisions.end(), some.begin(), some.end());
    return revisions.size() >= 20;
  }));
  std::vector<std::int64_t> expected;
  for (std::int64_t revision = 2; revision < 22; ++revision) expected.push_back(revision);
  EXPECT_EQ(revisions, expected);
  member.on_strand<bool>([&](std::promise<bool>& promise) {
    watching.reset();
    promise.set_value(true);
  });
}

struct Three {
  Folder folder;
  std::vector<replica::Member> founders = three_on_free_ports();
  std::vector<std::unique_ptr<Member>> members;

  Three() {
    for (const replica::Member& founder : founders) {
      members.push_back(std::make_unique<Member>(folder.path() + "/" + std::to_string(founder.id.value()),
                                                 founder.id, founders));
    }
  }
  // The running member that leads, once there is one.
  Member* leader() {
    Member* found = nullptr;
    eventually([&] {
      for (const auto& member : members) {
        if (member->running() && member->status().role == raft::Role::leader) found = member.get();
      }
      return found != nullptr;
    });
    return found;
  }
  // Through any member: those that do not lead pass it on.
  bool put_somewhere(const std::string& key, const std::string& value) {
    return eventually([&] {
      for (const auto& member : members) {
        if (member->running() && member->put(key, value).ok()) return true;
      }
      return false;
    });
  }
};

TEST(ThreeMembers, FollowersPassWritesOnAndServeReads) {
  Three three;
  for (const auto& member : three.members) ASSERT_NO_FATAL_FAILURE(member->start());
  ASSERT_NE(three.leader(), nullptr);
  for (std::size_t i = 0; i < three.members.size(); ++i) {
    const std::string key = "through/" + std::to_string(i);
    EXPECT_TRUE(eventually([&] { return three.members[i]->put(key, "x").ok(); })) << i;
    for (const auto& reader : three.members) {
      EXPECT_TRUE(eventually([&] {
        const auto got = reader->get(key);
        return got.ok() && got->kvs.size() == 1;
      }));
    }
  }
}

TEST(ThreeMembers, AWriteSurvivesTheLeaderAndTheLeaderCatchesUp) {
  Three three;
  for (const auto& member : three.members) ASSERT_NO_FATAL_FAILURE(member->start());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(three.put_somewhere("k" + std::to_string(i), "old"));
  Member* first = three.leader();
  ASSERT_NE(first, nullptr);
  first->stop();
  for (int i = 50; i < 100; ++i) ASSERT_TRUE(three.put_somewhere("k" + std::to_string(i), "new"));
  ASSERT_NO_FATAL_FAILURE(first->start());
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(eventually([&] {
      const auto got = first->get("k" + std::to_string(i));
      return got.ok() && got->kvs.size() == 1;
    })) << i;
  }
  Member* leader = three.leader();
  ASSERT_NE(leader, nullptr);
  EXPECT_TRUE(eventually([&] {
    const auto a = leader->status();
    const auto b = first->status();
    return a.applied == b.applied && a.digest == b.digest;
  })) << "replicas converge to the same digest";
}

TEST(ThreeMembers, AWipedMemberComesBackByLogOrSnapshot) {
  Three three;
  for (const auto& member : three.members) ASSERT_NO_FATAL_FAILURE(member->start());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(three.put_somewhere("k" + std::to_string(i), "x"));
  Member* leader = three.leader();
  ASSERT_NE(leader, nullptr);
  const std::size_t wiped = leader == three.members[0].get() ? 1 : 0;
  three.members[wiped]->stop();
  std::filesystem::remove_all(three.folder.path() + "/" + std::to_string(wiped + 1));
  ASSERT_NO_FATAL_FAILURE(three.members[wiped]->start());
  EXPECT_TRUE(eventually([&] {
    const auto status = three.members[wiped]->status();
    return status.may_vote && status.applied >= LogIndex(50);
  })) << "the leader restores its vote once it caught up";
  const auto got = three.members[wiped]->get("k49");
  ASSERT_TRUE(got.ok()) << got.status().to_string();
  EXPECT_EQ(got->kvs.size(), 1u);
}

}  // namespace
}  // namespace lockstep
