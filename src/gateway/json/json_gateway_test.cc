// The JSON gateway with the real services on a memory store: what comes back, to the byte where etcd's
// gateway answered the same, and every bad input refused without effect.
#include "gateway/json/json_gateway.h"

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gateway/etcd/etcd_status.h"
#include "gateway/etcd/testing/world.h"
#include "gateway/json/base64.h"
#include "gateway/json/json_reader.h"
#include "gateway/json/testing/fake_responder.h"
#include "proto/kv.pb.h"

namespace lockstep::gateway {
namespace {

using testing::FakeResponder;

class JsonGatewayTest : public ::testing::Test {
 protected:
  JsonGatewayTest() {
    world.services.register_with(gateway);
    gateway.register_with(router);
  }
  std::shared_ptr<FakeResponder> open(const std::string& path, const std::string& body,
                                      std::vector<HttpField> fields = {}) {
    HttpRequest request;
    request.method = "POST";
    request.path = path;
    request.body = body;
    request.fields = std::move(fields);
    const HttpRouter::Found found = router.find("POST", path);
    EXPECT_NE(found.handler, nullptr) << path;
    auto responder = std::make_shared<FakeResponder>();
    if (found.handler != nullptr) (*found.handler)(responder, request);
    world.strand.run();
    return responder;
  }
  // "200 {…}", with the header's constant part left out.
  std::string post(const std::string& path, const std::string& body, std::vector<HttpField> fields = {}) {
    const std::shared_ptr<FakeResponder> responder = open(path, body, std::move(fields));
    return std::to_string(responder->status) + " " + shortened(responder->body);
  }
  static std::string shortened(std::string text) {
    const std::string head = "\"cluster_id\":\"100\",\"member_id\":\"1\",";
    const std::string tail = ",\"raft_term\":\"2\"";
    for (const std::string& part : {head, tail}) {
      for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part)) {
        text.erase(at, part.size());
      }
    }
    return text;
  }

  testing::World world;
  JsonGateway gateway{world.strand};
  HttpRouter router;
};

TEST_F(JsonGatewayTest, AnswersAsEtcdDoes) {
  EXPECT_EQ(post("/v3/kv/put", R"({"key":"YQ==","value":"YmM="})"), R"(200 {"header":{"revision":"2"}})");
  EXPECT_EQ(post("/v3/kv/range", R"({"key":"YQ==","rangeEnd":"eg==","sortOrder":"DESCEND","sort_target":3})"),
            R"(200 {"header":{"revision":"2"},"kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"2",)"
            R"("version":"1","value":"YmM="}],"count":"1"})");
  EXPECT_EQ(post("/v3/kv/range", R"({"key":"YQ==","limit":"5","revision":1})"),
            R"(200 {"header":{"revision":"2"}})");
  EXPECT_EQ(
      post("/v3/kv/txn", R"({"compare":[{"key":"YQ==","result":"EQUAL","target":"VERSION","version":"1"}],)"
                         R"("success":[{"requestRange":{"key":"YQ==","keys_only":true}},)"
                         R"({"request_put":{"key":"eA==","value":"eQ=="}}]})"),
      R"(200 {"header":{"revision":"3"},"succeeded":true,"responses":[{"response_range":{"header":)"
      R"({"revision":"2"},"kvs":[{"key":"YQ==","create_revision":"2","mod_revision":"2","version":"1"}],)"
      R"("count":"1"}},{"response_put":{"header":{"revision":"3"}}}]})");
  EXPECT_EQ(post("/v3/lease/grant", R"({"TTL":60,"ID":"7"})"),
            R"(200 {"header":{"revision":"3"},"ID":"7","TTL":"60"})");
  EXPECT_EQ(post("/v3/cluster/member/list", ""),
            R"(200 {"header":{"revision":"3"},"members":[{"ID":"1","name":"n1","peerURLs":)"
            R"(["http://127.0.0.1:2380"],"clientURLs":["http://127.0.0.1:2379"]}]})");
  EXPECT_EQ(post("/v3/maintenance/alarm", R"({"action":"GET"})"), R"(200 {"header":{"revision":"3"}})");
}

TEST_F(JsonGatewayTest, ErrorsHaveTheStatusOfTheirCode) {
  EXPECT_EQ(
      post("/v3/kv/range", "{}"),
      R"(400 {"error":"etcdserver: key is not provided","message":"etcdserver: key is not provided","code":3})");
  EXPECT_EQ(post("/v3/lease/revoke", R"({"ID":5})"),
            R"(404 {"error":"etcdserver: requested lease not found",)"
            R"("message":"etcdserver: requested lease not found","code":5})");
  EXPECT_EQ(post("/v3/election/leader", R"({"name":"eA=="})").substr(0, 3), "500");
  EXPECT_EQ(post("/v3/kv/range", R"({"key":"YQ=="})", {{"authorization", "nonsense"}}).substr(0, 3), "200")
      << "authentication is off";
  world.cluster.set_has_leader(false);
  EXPECT_EQ(post("/v3/kv/range", R"({"key":"YQ=="})", {{"grpc-metadata-hasleader", "true"}}),
            R"(503 {"error":"etcdserver: no leader","message":"etcdserver: no leader","code":14})");
}

TEST_F(JsonGatewayTest, AnOverloadSaysWhenToComeAgain) {
  JsonGateway overloaded(world.strand);
  overloaded.unary("/etcdserverpb.KV/Put", [](const rpc::ServerCallPtr& call, std::string_view) {
    call->finish(to_etcd_status({Code::resource_exhausted, "etcdserver: too many requests"}));
  });
  HttpRouter routes;
  overloaded.register_with(routes);
  HttpRequest request;
  request.body = R"({"key":"YQ=="})";
  const auto responder = std::make_shared<FakeResponder>();
  (*routes.find("POST", "/v3/kv/put").handler)(responder, request);
  world.strand.run();
  EXPECT_EQ(responder->status, 429);
  ASSERT_EQ(responder->fields.size(), 1);
  EXPECT_EQ(responder->fields[0].name + ": " + responder->fields[0].value, "Retry-After: 1");
  EXPECT_EQ(http_reason(504), "Gateway Timeout");
}

TEST_F(JsonGatewayTest, ManyMessagesOfABodyComeInManyTurns) {
  struct Counting final : rpc::ServerStreamHandler {
    explicit Counting(int& count) : messages(count) {}
    void on_message(std::string_view) override { ++messages; }
    void on_half_close() override { messages += 1'000'000; }
    void on_cancelled() override {}
    int& messages;
  };
  int messages = 0;
  JsonGateway counting(world.strand);
  counting.streaming("/etcdserverpb.Watch/Watch",
                     [&](const rpc::ServerCallPtr&) { return std::make_unique<Counting>(messages); });
  HttpRouter routes;
  counting.register_with(routes);
  HttpRequest request;
  for (int i = 0; i < 1000; ++i) request.body += R"({"progress_request":{}} )";
  const auto responder = std::make_shared<FakeResponder>();
  (*routes.find("POST", "/v3/watch").handler)(responder, request);
  EXPECT_GT(messages, 0);
  EXPECT_LE(messages, 64);
  world.strand.run();
  EXPECT_EQ(messages, 1'001'000);
}

TEST_F(JsonGatewayTest, AWatchStreamsLines) {
  const auto watch =
      open("/v3/watch", R"({"create_request":{"key":"YQ=="}} {"createRequest":{"key":"Yg=="}})");
  post("/v3/kv/put", R"({"key":"Yg==","value":"MQ=="})");
  EXPECT_EQ(watch->status, 200);
  EXPECT_EQ(
      shortened(watch->body),
      "{\"result\":{\"header\":{\"revision\":\"1\"},\"created\":true}}\n"
      "{\"result\":{\"header\":{\"revision\":\"1\"},\"watch_id\":\"1\",\"created\":true}}\n"
      "{\"result\":{\"header\":{\"revision\":\"2\"},\"watch_id\":\"1\",\"events\":[{\"kv\":{\"key\":\"Yg==\","
      "\"create_revision\":\"2\",\"mod_revision\":\"2\",\"version\":\"1\",\"value\":\"MQ==\"}}]}}\n");
  EXPECT_EQ(gateway.calls_open(), 1U);
  watch->leave();
  world.strand.run();
  EXPECT_EQ(gateway.calls_open(), 0U);
}

TEST_F(JsonGatewayTest, AStreamThatEndsSaysSo) {
  EXPECT_EQ(post("/v3/lease/keepalive", R"({"ID":"5"})"),
            "200 {\"result\":{\"header\":{\"revision\":\"1\"},\"ID\":\"5\"}}\n");
  EXPECT_EQ(gateway.calls_open(), 0U);
  world.cluster.set_is_learner(true);
  EXPECT_EQ(
      post("/v3/watch", R"({"create_request":{"key":"YQ=="}})"),
      "400 {\"error\":{\"grpc_code\":9,\"http_code\":400,\"message\":\"etcdserver: rpc not supported for "
      "learner\",\"http_status\":\"Bad Request\"}}\n");
}

TEST_F(JsonGatewayTest, ALockWaitsAndIsGivenUpWhenTheClientLeaves) {
  const auto first = open("/v3/lock/lock", R"({"name":"bA=="})");
  const auto second = open("/v3/lock/lock", R"({"name":"bA=="})");
  EXPECT_EQ(first->status, 200);
  EXPECT_EQ(second->status, 0);
  second->leave();
  world.strand.run();
  EXPECT_NE(
      post("/v3/kv/range", R"({"key":"bA==","range_end":"bQ==","count_only":true})").find(R"("count":"1")"),
      std::string::npos);
  EXPECT_EQ(gateway.calls_open(), 0U);
}

TEST_F(JsonGatewayTest, RunningCallsDieWithTheGateway) {
  const auto watch = open("/v3/watch", R"({"create_request":{"key":"YQ=="}})");
  const auto held = open("/v3/lock/lock", R"({"name":"bA=="})");
  const auto waiting = open("/v3/lock/lock", R"({"name":"bA=="})");
  EXPECT_EQ(waiting->status, 0);
}

// What the reader refuses, and how it names the place.
TEST(JsonReader, BadInputIsRefusedWithItsPlace) {
  const struct {
    std::string name;
    std::string text;
    std::string error;
  } cases[] = {
      {"truncated", R"({"key":)", "/key: the JSON ends too early"},
      {"truncated string", R"({"key":"Y)", "/key: the JSON ends too early"},
      {"trailing bytes", "{} x", "/: something follows the message at byte 3"},
      {"a second value", "{}{}", "/: something follows the message at byte 2"},
      {"a member twice", R"({"key":"YQ==","key":"YQ=="})", "/key: is given twice"},
      {"a member twice, in both spellings", R"({"range_end":"","rangeEnd":""})",
       "/range_end: is given twice"},
      {"too deep", std::string(65, '['), "/: an object was expected"},
      {"NaN", R"({"limit":NaN})", "/limit: not JSON: syntax error"},
      {"1e400", R"({"limit":1e400})", "/limit: an integer between -2^63 and 2^63 - 1 was expected"},
      {"a fraction", R"({"limit":1.5})", "/limit: an integer between -2^63 and 2^63 - 1 was expected"},
      {"above 2^63", R"({"limit":9223372036854775808})",
       "/limit: an integer in the field's range was expected"},
      {"above 2^63 in a string", R"({"limit":"9223372036854775808"})",
       "/limit: an integer in the field's range was expected"},
      {"no number in a string", R"({"limit":"5 "})", "/limit: an integer in the field's range was expected"},
      {"a lone surrogate", R"({"key":"\ud800"})", "/key: not JSON: syntax error"},
      {"bad UTF-8", "{\"key\":\"\xff\"}", "/key: not JSON: syntax error"},
      {"a byte order mark", "\xef\xbb\xbf{}", "/: not JSON: syntax error"},
      {"a comment", "{/* */}", "/: not JSON: syntax error"},
      {"a number for bytes", R"({"key":5})", "/key: an integer was not expected"},
      {"a string for a flag", R"({"keys_only":"true"})", "/keys_only: a string was not expected"},
      {"an object for bytes", R"({"key":{}})", "/key: an object was not expected"},
      {"an array for bytes", R"({"key":["YQ=="]})", "/key: an array was not expected"},
      {"an array", "[]", "/: an object was expected"},
      {"a string", R"("a")", "/: an object was expected"},
      {"an unknown member", R"({"nosuch":1})", "/: there is no field 'nosuch'"},
      {"base64 of the wrong kind", R"({"key":"_-=="})", "/key: not base64"},
      {"base64 without padding", R"({"key":"YQ"})", "/key: not base64"},
      {"base64 with bits left over", R"({"key":"YR=="})", "/key: not base64"},
      {"an unknown name of an enum", R"({"sort_order":"SIDEWAYS"})", "/sort_order: not one of SortOrder"},
  };
  for (const auto& [name, text, error] : cases) {
    etcdserverpb::RangeRequest message;
    EXPECT_EQ(read_json(text, &message).to_string(), "invalid_argument: lockstep: " + error) << name;
  }
}

TEST(JsonReader, PlacesInsideAreJsonPointers) {
  etcdserverpb::TxnRequest message;
  EXPECT_EQ(read_json(R"({"success":[{},{"requestPut":{"key":"!"}}]})", &message).message(),
            "lockstep: /success/1/request_put/key: not base64");
  EXPECT_EQ(read_json(R"({"compare":[{"version":1,"value":""}]})", &message).message(),
            "lockstep: /compare/0/value: excludes what was given before");
  EXPECT_EQ(read_json(R"({"compare":{}})", &message).message(), "lockstep: /compare: an array was expected");
  std::string nested = "{}";
  for (int i = 0; i < 40; ++i) nested = R"({"success":[{"request_txn":)" + nested + "}]}";
  EXPECT_NE(read_json(nested, &message).message().find("too deep"), std::string::npos);
}

TEST(JsonReader, NullMeansNotGivenAndAnEmptyTextAnEmptyMessage) {
  etcdserverpb::RangeRequest message;
  EXPECT_EQ(read_json(R"({"key":null,"limit":null})", &message), Status());
  EXPECT_EQ(read_json("", &message), Status());
  EXPECT_EQ(read_json(" \n", &message), Status());
  EXPECT_EQ(message.SerializeAsString(), "");
}

TEST_F(JsonGatewayTest, ANegativeTtlIsRefused) {
  EXPECT_EQ(post("/v3/lease/grant", R"({"TTL":-1})").substr(0, 3), "400");
}

TEST(Base64, ReadsWhatItShould) {
  const struct {
    std::string text;
    std::string bytes;
  } cases[] = {{"", ""}, {"Zg==", "f"}, {"Zm8=", "fo"}, {"Zm9v", "foo"}, {"//79", "\xff\xfe\xfd"}};
  for (const auto& [text, bytes] : cases) {
    std::string read;
    EXPECT_TRUE(decode_base64(text, &read)) << text;
    EXPECT_EQ(read, bytes);
  }
  std::string read;
  for (const char* bad : {"=", "====", "Z===", "Zg=", "Zm9", "Zm9v\n", "Zm=v", "Z g="}) {
    EXPECT_FALSE(decode_base64(bad, &read)) << bad;
  }
}

}  // namespace
}  // namespace lockstep::gateway
