// Replays the golden scripts in testdata/, one test each: bytes that somebody may send to the one port, right
// and wrong, and what comes back. With --rewrite the files get what happens now: review the difference, it is
// the specification.
//
// A script is blocks of commands, "----", what they print, and an empty line. Each block has a connection of
// its own to one listener that lives as long as the file, and ends with a healthy client's request over
// HTTP/1.1 and call over gRPC, which must succeed. Printed are the bytes that came (without CR), "closed",
// and what was counted.
//   send TEXT          with the escapes \r \n \t \0 \\ and \xHH
//   request TEXT       the same, lines being separated by " | ", with what ends the head
//   fill COUNT TEXT    TEXT so many times
//   http2              HTTP/2 from here on; printed are the frames that come
//   headers ID [end] NAME=VALUE …     a request's; METHOD PATH stands for the four pseudo-headers
//   data ID [end] TEXT · reset ID · window ID BYTES
//   drain              the gRPC server stops
//   pass SECONDS · stop_reading · hang_up
// Served: GET /hello, GET /slow (answered by "finish"), POST /echo, GET /files/…, GET /events (server-sent).
#include "gateway/listener/listener.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>

#include "rpc/channel.h"
#include "rpc/testing_frames.h"
#include "rpc/testing_world.h"

namespace lockstep::gateway {
namespace {

bool rewrite = false;

std::string unescaped(std::string_view text) {
  const std::map<char, char> known = {{'r', '\r'}, {'n', '\n'}, {'t', '\t'}, {'0', '\0'}, {'\\', '\\'}};
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out.push_back(text[i]);
    } else if (const auto found = known.find(text[++i]); found != known.end()) {
      out.push_back(found->second);
    } else {
      out.push_back(static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16)));
      i += 2;
    }
  }
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\r') continue;
    if (c == '\n' || (byte >= 0x20 && byte < 0x7f)) {
      out.push_back(c);
    } else {
      constexpr std::string_view digits = "0123456789abcdef";
      out.append("\\x").push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    }
  }
  return out;
}

class Script {
 public:
  Script()
      : grpc_(strand_, strand_),
        http_(strand_, strand_, options()),
        listener_(strand_, strand_, grpc_, http_) {
    grpc_.unary("/test.Echo/Say",
                [](const rpc::ServerCallPtr& call, std::string_view request) { call->respond(request); });
    HttpRouter& router = http_.router();
    router.exact("GET", "/hello", [](const HttpResponderPtr& responder, HttpRequest& request) {
      HttpResponse response;
      response.content_type = "text/plain";
      response.body = "hello " + request.query;
      responder->respond(response);
    });
    router.exact("POST", "/echo", [](const HttpResponderPtr& responder, HttpRequest& request) {
      HttpResponse response;
      response.body = request.body;
      responder->respond(response);
    });
    router.exact("GET", "/slow",
                 [this](const HttpResponderPtr& responder, HttpRequest&) { slow_ = responder; });
    router.prefix("GET", "/files/", [](const HttpResponderPtr& responder, HttpRequest& request) {
      HttpResponse response;
      response.content_type = "text/plain";
      response.body = request.path + " for " + request.remote_address;
      responder->respond(response);
    });
    router.exact("GET", "/events", [this](const HttpResponderPtr& responder, HttpRequest&) {
      HttpResponse head;
      head.content_type = "text/event-stream";
      responder->begin(head);
      events_ = responder;
    });
    grpc_.set_plain(http_.plain_handler(), options().limits.body_bytes_max);
    check_health();
  }
  ~Script() {
    end_connection();
    slow_.reset();
    events_.reset();
    listener_.stop();
    grpc_.close();
    http_.close();
    strand_.settle();
  }

  void begin_block() {
    end_connection();
    wire_ = std::make_unique<rpc::TestWire>(strand_);
    listener_.accept(std::move(wire_->stream));
    strand_.settle();
    before_ = counted();
    reading_ = true;
    frames_.reset();
    printed_.clear();
  }
  std::string end_block() {
    collect();
    if (!printed_.empty() && !printed_.ends_with('\n')) printed_ += '\n';
    if (wire_->ended()) printed_ += "closed\n";
    for (const auto& [name, count] : counted()) {
      if (count != before_[name])
        printed_ += "counted " + name + " " + std::to_string(count - before_[name]) + "\n";
    }
    check_health();
    return printed_;
  }

  void run(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    std::string rest;
    std::getline(words >> std::ws, rest);
    if (frames_ == nullptr ? command == "http2" : is_frame(command)) {
      run_frame(command, rest);
    } else {
      run_plain(command, rest);
    }
    strand_.settle();
    collect();
  }

 private:
  void run_plain(const std::string& command, std::string rest) {
    if (command == "send") {
      wire_->send(unescaped(rest));
    } else if (command == "request") {
      for (std::size_t at = 0; (at = rest.find(" | ")) != std::string::npos;) rest.replace(at, 3, "\\r\\n");
      wire_->send(unescaped(rest) + "\r\n\r\n");
    } else if (command == "fill") {
      const std::size_t space = rest.find(' ');
      std::string bytes;
      for (int i = std::stoi(rest); i > 0; --i) bytes += unescaped(rest.substr(space + 1));
      wire_->send(bytes);
    } else if (command == "pass") {
      strand_.pass(std::chrono::seconds(std::stoi(rest)));
    } else if (command == "stop_reading") {
      reading_ = false;
      wire_->from_stream->room = 0;
    } else if (command == "hang_up") {
      wire_->hang_up();
    } else if (command == "finish") {
      const HttpResponderPtr slow = std::exchange(slow_, nullptr);
      printed_ += slow->ended() ? "handler: the client is gone\n" : "";
      slow->respond(http_error(503, rest));
    } else if (command == "event") {
      events_->send("data: " + rest + "\n\n");
      printed_ += events_->ended() ? "handler: the client is gone\n" : "";
    } else if (command == "end_events") {
      events_->finish();
    } else {
      ADD_FAILURE() << "unknown command " << command;
    }
  }

  static bool is_frame(std::string_view command) {
    return command == "headers" || command == "data" || command == "reset" || command == "window" ||
           command == "drain";
  }
  void run_frame(const std::string& command, const std::string& rest) {
    if (command == "http2") {
      frames_ = std::make_unique<rpc::FrameReader>();
      return wire_->send(std::string(rpc::http2_preface) + rpc::frame(rpc::frame_settings, 0, 0, ""));
    }
    if (command == "drain") return grpc_.drain(strand_.now() + 60s, [] {});
    std::istringstream words(rest);
    std::uint32_t id = 0;
    words >> id;
    std::string text;
    std::getline(words >> std::ws, text);
    const bool end = text.starts_with("end");
    if (end) text.erase(0, 4);
    const std::uint8_t flags = end ? rpc::flag_end_stream : 0;
    if (command == "headers") {
      wire_->send(rpc::frame(rpc::frame_headers, flags | rpc::flag_end_headers, id, header_block(text)));
    } else if (command == "data") {
      wire_->send(rpc::frame(rpc::frame_data, flags, id, unescaped(text)));
    } else if (command == "reset") {
      wire_->send(rpc::frame(rpc::frame_rst_stream, 0, id, rpc::big_endian(8, 4)));
    } else {
      const auto bytes = static_cast<std::uint32_t>(std::stoi(text));
      wire_->send(rpc::frame(rpc::frame_window_update, 0, id, rpc::big_endian(bytes, 4)));
    }
  }
  static std::string header_block(const std::string& text) {
    std::istringstream words(text);
    std::string method;
    std::string path;
    words >> method >> path;
    std::string block = rpc::hpack_field(":method", method) + rpc::hpack_field(":scheme", "http") +
                        rpc::hpack_field(":authority", "localhost:2379") + rpc::hpack_field(":path", path);
    for (std::string field; words >> field;) {
      const std::size_t equals = field.find('=');
      block += rpc::hpack_field(field.substr(0, equals), field.substr(equals + 1));
    }
    return block;
  }
  static HttpServerOptions options() {
    HttpServerOptions options;
    options.limits.target_bytes_max = 1000;
    options.limits.head_bytes_max = 2000;
    options.limits.fields_max = 20;
    options.limits.body_bytes_max = 1000;
    options.pipelined_bytes_max = 1000;
    options.host_names = {"lockstep.example"};
    return options;
  }

  std::map<std::string, std::uint64_t> counted() {
    std::map<std::string, std::uint64_t> out;
    for (const auto& [status, count] : http_.metrics().refused)
      out["refused " + std::to_string(status)] = count;
    const ListenerMetrics& metrics = listener_.metrics();
    out["tls_on_plain_port"] = metrics.tls_on_plain_port;
    out["garbage"] = metrics.garbage;
    out["silent"] = metrics.silent;
    out["lost"] = metrics.lost;
    out["stalled"] = http_.metrics().stalled_readers;
    return out;
  }
  void collect() {
    if (!reading_) return;
    const std::string bytes = wire_->received();
    printed_ += frames_ == nullptr ? printable(bytes) : frames_->read(bytes);
  }
  void end_connection() {
    if (wire_ == nullptr) return;
    wire_->hang_up();
    strand_.settle();
    wire_.reset();
    EXPECT_EQ(http_.metrics().connections_open, 0);
  }

  void check_health() {
    rpc::TestWire wire(strand_);
    listener_.accept(std::move(wire.stream));
    wire.send("GET /hello?you HTTP/1.1\r\nHost: localhost:2379\r\n\r\n");
    strand_.settle();
    const std::string answer = wire.received();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\nhello you")) << answer;
    wire.hang_up();
    auto [client_end, server_end] = rpc::connected_pair(strand_);
    listener_.accept(std::move(server_end));
    rpc::Channel channel(strand_, strand_, std::move(client_end), rpc::ChannelOptions{});
    bool answered = false;
    channel.unary("/test.Echo/Say", "healthy", {}, no_deadline, [&](const rpc::CallResult& result) {
      answered = result.status.ok() && result.message == "healthy";
    });
    strand_.settle();
    EXPECT_TRUE(answered) << "a healthy client is served whatever others do";
    channel.close();
    strand_.settle();
  }

  rpc::TestStrand strand_;
  rpc::Server grpc_;
  HttpServer http_;
  Listener listener_;
  std::unique_ptr<rpc::TestWire> wire_;
  std::unique_ptr<rpc::FrameReader> frames_;  // null: HTTP/1.1
  HttpResponderPtr slow_;
  HttpResponderPtr events_;
  std::map<std::string, std::uint64_t> before_;
  std::string printed_;
  bool reading_ = true;
};

std::string replay(const std::string& text) {
  Script script;
  std::istringstream lines(text);
  std::string out;
  std::string line;
  bool in_block = false;
  bool skipping = false;
  while (std::getline(lines, line)) {
    if (skipping) {  // what was printed then, up to the next block's comment
      if (!line.starts_with('#')) continue;
      skipping = false;
      out += "\n";
    }
    out += line + "\n";
    if (line.empty() || line.starts_with('#')) continue;
    if (line == "----") {
      out += script.end_block();
      in_block = false;
      skipping = true;
      continue;
    }
    if (!std::exchange(in_block, true)) script.begin_block();
    script.run(line);
  }
  return out;
}

class ListenerScript : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(ListenerScript, HasItsAnswer) {
  std::ifstream file(GetParam());
  std::stringstream expected;
  expected << file.rdbuf();
  const std::string actual = replay(expected.str());
  if (rewrite) {
    std::ofstream(GetParam()) << actual;
    return;
  }
  EXPECT_EQ(expected.str(), actual);
}

std::vector<std::filesystem::path> scripts() {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator("src/gateway/listener/testdata"))
    found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

INSTANTIATE_TEST_SUITE_P(Scripts, ListenerScript, testing::ValuesIn(scripts()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace
}  // namespace lockstep::gateway

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--rewrite") lockstep::gateway::rewrite = true;
  }
  return RUN_ALL_TESTS();
}
