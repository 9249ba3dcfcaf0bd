// Idempotency-Key when the store is away, when its owner dies, and when somebody means harm.
#include "gateway/v1/stored_answers.h"

#include <memory>
#include <string>

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "base/prng.h"
#include "gateway/etcd/testing/world.h"
#include "gateway/json/base64.h"
#include "gateway/json/testing/fake_responder.h"
#include "gateway/v1/coordination.h"
#include "gateway/v1/testing/script.h"
#include "gateway/v1/v1.h"
#include "service/testing/watched_store.h"

namespace lockstep::gateway::v1 {
namespace {

using service::testing::WatchedStore;

// One server on a store that outlives it.
class Server {
 public:
  Server(WatchedStore& store, std::uint64_t seed)
      : store_(store), numbers_(seed), recipes_({store, store.strand, store.strand, numbers_}) {
    v1_.add(recipes_.routes());
    v1_.set_idempotency(std::make_unique<StoredAnswers>(recipes_.context));
    v1_.register_with(router_);
  }
  ~Server() {
    bool drained = false;
    v1_.drain(no_deadline, [&] { drained = true; });
    sleep(60s);
    EXPECT_TRUE(drained);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::string add(const std::string& key, const std::string& certificate_name = {}) {
    return post("/v1/counters/add", key, R"({"name":"n"})", certificate_name);
  }
  std::string post(const std::string& path, const std::string& key, const std::string& body,
                   const std::string& certificate_name = {}) {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    if (!key.empty()) request.fields = {{"idempotency-key", key}};
    request.body = body;
    request.peer_common_name = certificate_name;
    auto responder = std::make_shared<gateway::testing::FakeResponder>();
    (*router_.find("POST", request.path).handler)(responder, request);
    sleep(10s);
    return std::to_string(responder->status) + " " + responder->body;
  }
  void sleep(Duration time) {
    store_.strand.run();
    for (Duration slept{}; slept < time; slept += 50ms) {
      store_.strand.advance(50ms);
      store_.strand.run();
    }
  }

 private:
  WatchedStore& store_;
  gateway::testing::World security_world_;
  service::testing::SeededRandom numbers_;
  Coordination recipes_;
  V1 v1_{security_world_.security, store_.strand, store_.strand, numbers_, {}};
  HttpRouter router_;
};

// A leader's election, say; the client repeats with its key a minute later, at another member.
TEST(StoredAnswers, OneRefusedCallMakesNoAddCountTwice) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done}) {
    bool failed = true;
    for (std::size_t call = 0; failed; ++call) {
      WatchedStore store;
      Server server(store, 1);
      Server other(store, 2);
      store.fail_call(call, fault);
      const std::string first = server.add("k1");
      failed = store.failed();
      server.sleep(120s);
      const std::string again = other.add("k1");
      if (first.starts_with("200")) {
        EXPECT_EQ(again, first) << "call " << call;
      } else if (again.starts_with("200")) {
        EXPECT_EQ(again, R"(200 {"name":"n","value":1})") << "call " << call << ": " << first;
      }
      ASSERT_LT(call, 20);
    }
  }
}

// What a member that dies in front of any call of the store leaves, and what still comes late of it. Its
// client repeats at another member, and is told the one answer: the effect and its answer are one write.
void expect_one_effect(const std::string& path, const std::string& body, const std::string& answer) {
  for (const auto fault : {WatchedStore::Fault::refused, WatchedStore::Fault::unknown_done,
                           WatchedStore::Fault::unknown_not_done, WatchedStore::Fault::unknown_late}) {
    bool died = true;
    for (std::size_t call = 0; died; ++call) {
      SCOPED_TRACE(path + " call " + std::to_string(call) + " fault " +
                   std::to_string(static_cast<int>(fault)));
      WatchedStore store;
      Server other(store, 2);
      ASSERT_EQ(other.post("/v1/counters/set", "", R"({"name":"n","value":40})"),
                R"(200 {"name":"n","value":40})");
      {
        Server dying(store, 1);
        store.fail_call(call, fault);
        store.down_from_fault = true;
        dying.post(path, "k1", body);
      }
      died = store.failed();
      store.down = store.down_from_fault = false;
      other.sleep(120s);
      EXPECT_EQ(other.post(path, "k1", body), answer);
      store.deliver_late();
      EXPECT_EQ(other.post(path, "k1", body), answer);
      const std::string now = other.post("/v1/counters/add", "", R"({"name":"n","delta":0})");
      const std::string left =
          path.ends_with("remove") ? "0" : answer.substr(answer.find("\"value\":") + 8, 2);
      EXPECT_EQ(now, R"(200 {"name":"n","value":)" + left + "}");
      ASSERT_LT(call, 30U);
    }
  }
}

TEST(StoredAnswers, AnAddAndItsAnswerAreOneWrite) {
  expect_one_effect("/v1/counters/add", R"({"name":"n"})", R"(200 {"name":"n","value":41})");
}

TEST(StoredAnswers, ASetAndItsAnswerAreOneWrite) {
  expect_one_effect("/v1/counters/set", R"({"name":"n","value":50,"expected":40})",
                    R"(200 {"name":"n","value":50})");
}

TEST(StoredAnswers, ARemovalAndItsAnswerAreOneWrite) {
  expect_one_effect("/v1/counters/remove", R"({"name":"n"})", R"(200 {"name":"n","value":40,"exists":true})");
}

TEST(StoredAnswers, APlainAddAndItsAnswerAreOneWrite) {
  expect_one_effect("/v1/simple/counters", R"({"key":"n"})", R"(200 {"value":41})");
}

TEST(StoredAnswers, OfAnOwnerThatDiedTheOutcomeIsUnknown) {
  WatchedStore store;
  service::testing::SeededRandom numbers(3);
  StoredAnswers dead({store, store.strand, store.strand, numbers});
  IdempotentRequest request{"", "k1", "POST /v1/counters/add\n{\"name\":\"n\"}", 7s, false};
  TaskScope scope;
  const auto begin = [](StoredAnswers* by, IdempotentRequest what) -> Task<void> {
    const Idempotency::Begun begun = co_await by->begin(std::move(what), {});
    EXPECT_EQ(begun.state, Idempotency::Begun::State::first);
  };
  scope.spawn(begin(&dead, request));
  store.strand.run();
  Server server(store, 1);
  EXPECT_TRUE(server.add("k1").contains("idempotency_in_progress"));
  server.sleep(120s);
  EXPECT_TRUE(server.add("k1").contains("outcome_unknown")) << "not done again: it may have been";
  EXPECT_EQ(server.add("k2"), R"(200 {"name":"n","value":1})");
  // What can be done again without harm is.
  request.key = "k3";
  request.repeatable = true;
  scope.spawn(begin(&dead, request));
  server.sleep(120s);
  EXPECT_EQ(server.add("k3"), R"(200 {"name":"n","value":2})");
}

// Behind a store that knows no users.
TEST(StoredAnswers, ACertificatesNameHasItsOwnKeys) {
  WatchedStore store;
  Server server(store, 1);
  EXPECT_EQ(server.add("k1", "alice"), R"(200 {"name":"n","value":1})");
  EXPECT_EQ(server.add("k1", "bob"), R"(200 {"name":"n","value":2})");
  EXPECT_EQ(server.add("k1", "alice/"), R"(200 {"name":"n","value":3})");
  EXPECT_EQ(server.add("k1", "alice"), R"(200 {"name":"n","value":1})");
}

// /v1/idempotency takes any key, and what a request is known by is no secret.
TEST(StoredAnswers, NobodyPlantsAnAnswer) {
  testing::Script script;
  const std::string body = R"({"name":"n","delta":5})";
  const std::string what = "POST /v1/counters/add\n" + body;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  ASSERT_EQ(EVP_Digest(what.data(), what.size(), digest.data(), &size, EVP_sha256(), nullptr), 1);
  const std::string print = encode_base64({reinterpret_cast<const char*>(digest.data()), size});
  for (const std::string key : {"http/k1", "/k1", "k1", "../http-answers//k1"}) {
    const std::string begun = script.run(R"(POST /v1/idempotency/begin {"key":")" + key +
                                         R"(","fingerprint_base64":")" + print + "\"}");
    const std::size_t at = begun.find("\"token\":\"") + 9;
    const std::string token = begun.substr(at, begun.find('"', at) - at);
    const std::string planted =
        script.run(R"(POST /v1/idempotency/complete {"key":")" + key + R"(","token":")" + token +
                   R"(","answer":"200 application/json\n{\"forged\":true}","keep_ms":600000})");
    EXPECT_TRUE(planted.starts_with("200")) << planted;
  }
  const std::string said = script.run("with Idempotency-Key: k1; POST /v1/counters/add " + body);
  EXPECT_EQ(said, "200 {\"name\":\"n\",\"value\":5}\n");
}

}  // namespace
}  // namespace lockstep::gateway::v1
