// Calls to other people's services: answered, refused, cut off, misled; and how many at once.
#include "platform/http_client.h"

#include <future>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "platform/tcp_streams.h"
#include "platform/test_support.h"
#include "platform/testing_certificates.h"
#include "platform/testing_http_receiver.h"
#include "platform/tls_streams.h"

namespace lockstep::platform {
namespace {

using testing::HasSubstr;
using Reply = Result<env::HttpReply>;

constexpr Duration plenty = 60s;

// A client and a receiver, on a strand each.
class HttpClientTest : public ::testing::Test {
 protected:
  HttpClientTest() { make_client({}); }
  ~HttpClientTest() override {
    theirs.on([&] { receiver.reset(); });
    ours.on([&] { client.reset(); });
  }
  void make_client(HttpClientOptions options, bool loopback = true) {
    options.policy = CallPolicy::create({}, loopback).value();
    ours.on([&] { client = CurlHttpClient::create(ours.executor, options).value(); });
  }
  void receive(HttpReceiver::Answering answering) {
    theirs.on([&] { receiver = std::make_unique<HttpReceiver>(streams, std::move(answering)); });
  }
  [[nodiscard]] std::string url(const std::string& path = "/") {
    return "http://127.0.0.1:" + std::to_string(theirs.on([&] { return receiver->port(); })) + path;
  }
  std::future<Reply> begin(env::HttpCall call, Duration within = plenty) {
    auto promise = std::make_shared<std::promise<Reply>>();
    std::future<Reply> reply = promise->get_future();
    ours.on([&] {
      client->call(std::move(call), ours.clock.now() + within,
                   [promise](Reply result) { promise->set_value(std::move(result)); });
    });
    return reply;
  }
  Reply call(env::HttpCall request, Duration within = plenty) {
    return begin(std::move(request), within).get();
  }
  Reply call(const std::string& to, Duration within = plenty) {
    env::HttpCall request;
    request.url = to;
    return call(std::move(request), within);
  }
  HttpClientMetrics metrics() {
    return ours.on([&] { return client->metrics(); });
  }
  std::vector<ReceivedRequest> received() {
    return theirs.on([&] { return receiver->requests(); });
  }

  StrandThread ours;
  StrandThread theirs;
  TcpStreams streams{theirs.executor};
  std::unique_ptr<HttpReceiver> receiver;
  std::unique_ptr<CurlHttpClient> client;
};

TEST_F(HttpClientTest, ARequestArrivesAsItIsAndItsAnswerComesBack) {
  receive([](const ReceivedRequest&) { return plain_answer(201, "made", "Retry-After:  7 \r\nX: y\r\n"); });
  env::HttpCall request;
  request.url = url("/path?a=b");
  request.headers = {{"Content-Type", "application/json"}, {"Lockstep-Empty", ""}, {"X-One", "two three"}};
  request.body = std::string("{\"a\":\0}", 7);
  const Reply reply = call(request);
  ASSERT_TRUE(reply.ok()) << reply.status().to_string();
  EXPECT_EQ(reply->status, 201);
  EXPECT_EQ(reply->body, "made");
  EXPECT_EQ(reply->retry_after, "7");
  const ReceivedRequest arrived = received().at(0);
  EXPECT_EQ(arrived.line, "POST /path?a=b HTTP/1.1");
  EXPECT_EQ(arrived.body, request.body);
  EXPECT_THAT(arrived.head, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_THAT(arrived.head, HasSubstr("Lockstep-Empty:\r\n"));
  EXPECT_THAT(arrived.head, HasSubstr("X-One: two three\r\n"));
}

TEST_F(HttpClientTest, EachMethodIsSentAsItself) {
  receive([](const ReceivedRequest& request) {
    return plain_answer(200, request.line.starts_with("HEAD") ? "" : "x");
  });
  for (const std::string method : {"POST", "GET", "PUT", "DELETE", "HEAD", "PATCH", "POST", "GET"}) {
    env::HttpCall request;
    request.url = url();
    request.method = method;
    EXPECT_EQ(call(request)->status, 200) << method;
    EXPECT_EQ(received().back().line, method + " / HTTP/1.1");
    EXPECT_EQ(received().back().head.contains("Content-Type"), false) << received().back().head;
  }
  EXPECT_EQ(metrics().connections, 1U);
}

TEST_F(HttpClientTest, AnyStatusIsAnAnswerAndNothingIsFollowed) {
  receive([](const ReceivedRequest& request) {
    if (request.line.contains("/continue"))
      return RawAnswer{.bytes = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"};
    return plain_answer(request.line.contains("/302") ? 302 : 503, "no", "Location: http://127.0.0.1:1/\r\n");
  });
  EXPECT_EQ(call(url("/302"))->status, 302);
  EXPECT_EQ(call(url("/503"))->status, 503);
  EXPECT_EQ(call(url("/continue"))->status, 200);
}

TEST_F(HttpClientTest, AChunkedAnswerIsPutTogetherAndAnEmptyOneIsEmpty) {
  receive([](const ReceivedRequest& request) {
    if (request.line.contains("/none")) return RawAnswer{.bytes = "HTTP/1.1 204 None\r\n\r\n"};
    return RawAnswer{.bytes =
                         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "3\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n"};
  });
  EXPECT_EQ(call(url())->body, "abcde");
  EXPECT_EQ(call(url("/none"))->status, 204);
  EXPECT_EQ(metrics().connections, 1U);
}

TEST_F(HttpClientTest, ALongAnswerIsCutOffAtItsBoundWithoutBeingRead) {
  receive([](const ReceivedRequest&) {
    return RawAnswer{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n",
                     .repeated = std::string(1 << 20, 'x'),
                     .times = 100};
  });
  EXPECT_EQ(call(url()).status().code(), Code::resource_exhausted);
  env::HttpCall exact;
  exact.url = url();
  exact.answer_bytes_max = 104857600;
  EXPECT_EQ(call(exact)->body.size(), 104857600U);
  // Who only wants to know the status has it.
  env::HttpCall cut;
  cut.url = url();
  cut.cut_answer = true;
  const Reply reply = call(cut);
  ASSERT_TRUE(reply.ok()) << reply.status().to_string();
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(reply->body.size(), cut.answer_bytes_max);
}

TEST_F(HttpClientTest, WhoNeverAnswersIsGivenUpAtTheDeadline) {
  receive([](const ReceivedRequest& request) {
    return request.line.contains("/head") ? RawAnswer{.bytes = "HTTP/1.1 200 OK\r\nX-Slow: a"} : RawAnswer{};
  });
  for (const std::string path : {"/", "/head"}) {
    const auto begun = std::chrono::steady_clock::now();
    const Reply reply = call(url(path), 300ms);
    EXPECT_EQ(reply.status().code(), Code::unknown_outcome) << reply.status().to_string();
    EXPECT_GE(std::chrono::steady_clock::now() - begun, 300ms);
  }
  EXPECT_EQ(metrics().in_flight, 0U);
}

TEST_F(HttpClientTest, RubbishAndBrokenAnswersLeaveItOpenWhetherItWasHeard) {
  receive([](const ReceivedRequest& request) {
    if (request.line.contains("/rubbish")) return RawAnswer{.bytes = "rubbish\r\n\r\n", .close_after = true};
    if (request.line.contains("/closed")) return RawAnswer{.close_after = true};
    if (request.line.contains("/half"))
      return RawAnswer{.bytes = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", .close_after = true};
    if (request.line.contains("/chunks"))
      return RawAnswer{.bytes = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                       .close_after = true};
    return RawAnswer{.bytes = "HTTP/1.1 200 OK\r\n",
                     .repeated = "X-Much: " + std::string(1000, 'x') + "\r\n",
                     .times = 1000};
  });
  for (const std::string path : {"/rubbish", "/closed", "/half", "/chunks", "/long-head"}) {
    const Reply reply = call(url(path));
    EXPECT_EQ(reply.status().code(), Code::unknown_outcome) << path << reply.status().to_string();
  }
}

TEST_F(HttpClientTest, WhatWasNotSentIsSaidToBe) {
  receive([](const ReceivedRequest&) { return plain_answer(200); });
  const std::string gone = url();
  theirs.on([&] { receiver.reset(); });
  const Reply refused = call(gone);
  EXPECT_EQ(refused.status().code(), Code::unavailable) << refused.status().to_string();
  EXPECT_EQ(call("http://nowhere.invalid/").status().code(), Code::unavailable);
}

TEST_F(HttpClientTest, WhatIsNoUrlOrNoHeaderIsRefusedBeforeAnythingIsSent) {
  for (const std::string bad :
       {"", "x", "/path", "ftp://a/", "file:///etc/passwd", "gopher://a/", "http://", "http://u:p@127.0.0.1/",
        "http://a b/", "http://a:99999/", "http://a/\r\nX: y", "dict://a/"}) {
    EXPECT_EQ(call(bad).status().code(), Code::invalid_argument) << bad;
    EXPECT_EQ(ours.on([&] { return client->refusal_of(bad); }).code(), Code::invalid_argument) << bad;
  }
  for (const std::pair<std::string, std::string>& bad : std::vector<std::pair<std::string, std::string>>{
           {"A", "x\r\nB: y"}, {"A\n", "x"}, {"", "x"}, {"A b", "x"}}) {
    env::HttpCall request;
    request.url = "http://127.0.0.1:1/";
    request.headers.push_back(bad);
    EXPECT_EQ(call(request).status().code(), Code::invalid_argument);
  }
  env::HttpCall method;
  method.url = "http://127.0.0.1:1/";
  method.method = "GET / HTTP/1.1\r\n";
  EXPECT_EQ(call(method).status().code(), Code::invalid_argument);
}

TEST_F(HttpClientTest, TheAddressThatIsConnectedToIsJudged) {
  receive([](const ReceivedRequest&) { return plain_answer(200); });
  const std::string port = std::to_string(theirs.on([&] { return receiver->port(); }));
  make_client({}, false);
  for (const std::string host : {"127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]",
                                 "[::1]", "0.0.0.0", "169.254.169.254", "[fe80::1]"}) {
    const Reply reply = call("http://" + host + ":" + port + "/");
    EXPECT_EQ(reply.status().code(), Code::permission_denied) << host << " " << reply.status().to_string();
  }
  EXPECT_EQ(ours.on([&] { return client->refusal_of("http://127.0.0.1/"); }).code(), Code::permission_denied);
  EXPECT_TRUE(ours.on([&] { return client->refusal_of("https://hooks.example.com/x"); }).ok());
  EXPECT_TRUE(received().empty());
  EXPECT_EQ(metrics().refused, 9U);
}

TEST_F(HttpClientTest, AConnectionThatWasClosedMeanwhileIsMadeAgain) {
  receive([](const ReceivedRequest&) { return plain_answer(200); });
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(call(url())->status, 200);
    theirs.on([&] { receiver->close_connections(); });
  }
  EXPECT_EQ(received().size(), 3U);
}

TEST_F(HttpClientTest, FiveHundredAtOnceAreAnsweredOverKeptConnections) {
  receive([](const ReceivedRequest& request) { return plain_answer(200, request.body); });
  HttpClientOptions options;
  options.in_flight_max = 500;
  options.in_flight_per_destination_max = 500;
  make_client(options);
  EXPECT_TRUE(call(url()).ok());
  env::HttpCall request;
  request.url = url();
  std::vector<std::future<Reply>> replies;
  ours.on([&] {
    for (int i = 0; i < 5000; ++i) {
      auto promise = std::make_shared<std::promise<Reply>>();
      replies.push_back(promise->get_future());
      request.body = std::to_string(i);
      client->call(request, ours.clock.now() + plenty,
                   [promise](Reply result) { promise->set_value(std::move(result)); });
    }
  });
  for (int i = 0; i < 5000; ++i) {
    const Reply reply = replies.at(static_cast<std::size_t>(i)).get();
    ASSERT_TRUE(reply.ok()) << reply.status().to_string();
    EXPECT_EQ(reply->body, std::to_string(i));
  }
  EXPECT_LE(metrics().connections, 500U);
  EXPECT_EQ(metrics().waiting, 0U);
}

TEST_F(HttpClientTest, OneSlowDestinationLeavesRoomForTheOthers) {
  receive([](const ReceivedRequest&) { return RawAnswer{}; });
  HttpReceiver::Answering at_once = [](const ReceivedRequest&) { return plain_answer(200); };
  auto quick = theirs.on([&] { return std::make_unique<HttpReceiver>(streams, at_once); });
  HttpClientOptions options;
  options.in_flight_max = 8;
  options.waiting_max = 20;
  make_client(options);
  env::HttpCall slow;
  slow.url = url();
  std::vector<std::future<Reply>> waiting;
  for (int i = 0; i < 24; ++i) waiting.push_back(begin(slow));
  EXPECT_EQ(metrics().in_flight, 4U) << "it never answered once";
  EXPECT_EQ(metrics().waiting, 20U);
  const std::string quick_url =
      "http://127.0.0.1:" + std::to_string(theirs.on([&] { return quick->port(); }));
  EXPECT_EQ(call(quick_url).status(), Status(Code::deadline_exceeded, "too many calls wait already"));
  ours.on([&] { client.reset(); });
  for (std::future<Reply>& one : waiting) EXPECT_FALSE(one.get().ok()) << "answered by the destructor";
  make_client(options);
  waiting.clear();
  for (int i = 0; i < 10; ++i) waiting.push_back(begin(slow));
  EXPECT_TRUE(call(quick_url).ok());
  ours.on([&] { client.reset(); });
  theirs.on([&] { quick.reset(); });
}

TEST_F(HttpClientTest, ACallbackMayEndTheClient) {
  receive([](const ReceivedRequest&) { return plain_answer(200); });
  env::HttpCall request;
  request.url = url();
  std::promise<void> ended;
  ours.on([&] {
    client->call(request, ours.clock.now() + plenty, [&](const Reply&) {
      client.reset();
      ended.set_value();
    });
  });
  ended.get_future().get();
}

class HttpsClientTest : public HttpClientTest {
 protected:
  ~HttpsClientTest() override {
    theirs.on([&] { receiver.reset(); });
  }
  void serve(const CertificateFiles& files) {
    TlsOptions options;
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    theirs.on([&] {
      tls = TlsStreams::create(theirs.executor, theirs.clock, std::make_shared<TcpStreams>(theirs.executor),
                               options)
                .value();
      receiver =
          std::make_unique<HttpReceiver>(*tls, [](const ReceivedRequest&) { return plain_answer(200); });
    });
  }
  [[nodiscard]] std::string secure_url(const std::string& host) {
    return "https://" + host + ":" + std::to_string(theirs.on([&] { return receiver->port(); })) + "/";
  }
  TemporaryDirectory directory;
  TestAuthority authority{directory.path(), "authority"};
  TestAuthority stranger{directory.path(), "stranger"};
  std::unique_ptr<TlsStreams> tls;
};

TEST_F(HttpsClientTest, AServerMustProveWhoItIs) {
  serve(authority.issue("server", {}));
  HttpClientOptions options;
  options.ca_file = authority.file();
  make_client(options);
  const Reply reply = call(secure_url("localhost"));
  EXPECT_TRUE(reply.ok()) << reply.status().to_string();
  EXPECT_TRUE(call(secure_url("127.0.0.1")).ok());
  options.ca_file = stranger.file();
  make_client(options);
  EXPECT_EQ(call(secure_url("localhost")).status().code(), Code::unavailable);
  make_client({});  // whom the system trusts
  EXPECT_EQ(call(secure_url("localhost")).status().code(), Code::unavailable);
}

TEST_F(HttpsClientTest, AnotherNameOrATimeLongGoneIsNoProof) {
  HttpClientOptions options;
  options.ca_file = authority.file();
  make_client(options);
  serve(authority.issue("other", {.names = "DNS:elsewhere.example"}));
  EXPECT_EQ(call(secure_url("localhost")).status().code(), Code::unavailable);
  theirs.on([&] { receiver.reset(); });
  serve(authority.issue("old", {.valid_from_s = -7200, .valid_until_s = -3600}));
  EXPECT_EQ(call(secure_url("localhost")).status().code(), Code::unavailable);
}

TEST_F(HttpsClientTest, AnAuthorityThatIsNoneIsNamedAtTheStart) {
  HttpClientOptions options;
  options.ca_file = directory.path() + "/none.crt";
  const Status refused = ours.on([&] { return CurlHttpClient::create(ours.executor, options).status(); });
  EXPECT_EQ(refused.code(), Code::invalid_argument);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("none.crt"));
}

}  // namespace
}  // namespace lockstep::platform
