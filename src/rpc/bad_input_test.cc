// Replays the golden scripts in testdata/, one test each: bytes that a client may send, right and wrong, and
// what the server does. With --rewrite the files get what happens now: review the difference, it is the
// specification.
//
// A script is blocks of commands, "----", what they print, and an empty line. Each block has a connection of
// its own to one server that lives as long as the file, and ends with a healthy client's call, which must
// succeed. Printed are the frames that came (SETTINGS, and WINDOW_UPDATE of the connection, are left out),
// "closed", what the server counted, and what handlers saw. Commands, one a line; NAME=VALUE and hexadecimal
// bytes end a line:
//   preface                                the client's preface and its SETTINGS
//   raw HEX… · text WORDS                  bytes as they are
//   frame TYPE FLAGS STREAM [HEX…]         FLAGS: END, ACK, HEADERS, PADDED, joined by "+", or "-"
//   fill TYPE FLAGS STREAM SIZE            the same with so many zero bytes
//   headers STREAM FLAGS [NAME=VALUE…]     NAME alone repeats nothing of the usual; see usual
//   usual STREAM FLAGS [NAME=VALUE…]       the headers of a good call to /test.Echo/Say, then these
//   message STREAM FLAGS SIZE [SENT]       a DATA frame with a gRPC prefix for SIZE and SENT (or SIZE) bytes
//   finish STATUS_CODE                     the calls that a handler keeps end
//   repeat N COMMANDS · every SECONDS N COMMANDS     separated by ";", where "{}" stands for 1, 3, 5 …
//   at_once N COMMANDS                     the same, as one piece of bytes
//   pass SECONDS · stop_reading
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <sstream>

#include <gtest/gtest.h>

#include "rpc/channel.h"
#include "rpc/server.h"
#include "rpc/testing_frames.h"
#include "rpc/testing_world.h"

namespace lockstep::rpc {
namespace {

bool rewrite = false;

std::string from_hex(std::istream& words) {
  std::string out;
  for (std::string word; words >> word;) {
    for (std::size_t i = 0; i + 1 < word.size(); i += 2)
      out.push_back(static_cast<char>(std::stoi(word.substr(i, 2), nullptr, 16)));
  }
  return out;
}

std::uint8_t flags_of(const std::string& text) {
  const std::map<std::string, std::uint8_t> known = {{"END", flag_end_stream},
                                                     {"ACK", flag_end_stream},
                                                     {"HEADERS", flag_end_headers},
                                                     {"PADDED", flag_padded}};
  std::uint8_t flags = 0;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, '+');) {
    if (const auto found = known.find(word); found != known.end()) flags |= found->second;
  }
  return flags;
}

std::uint8_t type_of(const std::string& name) {
  const auto found = std::ranges::find(frame_names, name);
  EXPECT_NE(found, frame_names.end()) << name;
  return static_cast<std::uint8_t>(found - frame_names.begin());
}

// Everything that a server counts and that says that something was wrong.
std::map<std::string, std::uint64_t> complaints(const ServerMetrics& metrics) {
  std::map<std::string, std::uint64_t> out;
  for (std::size_t i = 0; i < http2_error_count; ++i) {
    const std::string name(to_string(static_cast<Http2Error>(i)));
    out["connection error " + name] = metrics.connection_errors[i];
    out["stream error " + name] = metrics.stream_errors[i];
  }
  for (std::size_t i = 0; i < bad_call_count; ++i)
    out["bad " + std::string(to_string(static_cast<BadCall>(i)))] = metrics.bad_calls[i];
  return out;
}

// Lines that differ from the one before only in numbers are counted, not printed.
std::string shortened(const std::string& text) {
  const auto without_numbers = [](std::string line) {
    std::erase_if(line, [](unsigned char c) { return std::isdigit(c); });
    return line;
  };
  std::istringstream lines(text);
  std::string out;
  std::string before;
  int more = 0;
  const auto say_more = [&] {
    if (std::exchange(more, 0) != 0) out += "…\n";
  };
  for (std::string line; std::getline(lines, line);) {
    const bool alike = line.starts_with("HEADERS ") || line.starts_with("RST_STREAM ");
    if (line == before || (alike && without_numbers(line) == without_numbers(before))) {
      ++more;
    } else {
      say_more();
      out += line + "\n";
      before = line;
    }
  }
  say_more();
  return out;
}

class Script {
 public:
  Script() : server_(strand_, strand_, options()) {
    server_.unary("/test.Echo/Say", [this](const ServerCallPtr& call, std::string_view request) {
      if (request != "healthy") seen_ += "Say " + std::to_string(request.size()) + " bytes\n";
      call->respond(request);
    });
    server_.unary("/test.Echo/Keep",
                  [this](const ServerCallPtr& call, std::string_view) { kept_.push_back(call); });
    server_.streaming("/test.Echo/Talk",
                      [this](ServerCallPtr call) { return std::make_unique<Talk>(seen_, std::move(call)); });
    auto [client_end, server_end] = connected_pair(strand_);
    server_.accept(std::move(server_end));
    healthy_ = std::make_unique<Channel>(strand_, strand_, std::move(client_end), ChannelOptions{});
    check_health();
  }
  ~Script() {
    kept_.clear();
    end_connection();
    healthy_.reset();
    server_.close();
    strand_.settle();
  }

  void begin_block() {
    end_connection();
    wire_ = std::make_unique<TestWire>(strand_);
    frames_ = std::make_unique<FrameReader>();
    server_.accept(std::move(wire_->stream));
    strand_.settle();
    before_ = complaints(server_.metrics());
    reading_ = true;
    printed_.clear();
    seen_.clear();
  }
  std::string end_block() {
    collect();
    printed_ += seen_;
    if (wire_->ended()) printed_ += "closed\n";
    for (const auto& [name, count] : complaints(server_.metrics())) {
      if (count != before_[name])
        printed_ += "counted " + name + " " + std::to_string(count - before_[name]) + "\n";
    }
    check_health();
    return shortened(printed_);
  }

  void run(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    words >> command;
    if (command == "repeat" || command == "every") return repeat(command, words);
    if (command == "at_once") return at_once(words);
    if (command == "pass") {
      int seconds = 0;
      words >> seconds;
      strand_.pass(std::chrono::seconds(seconds));
    } else if (command == "finish") {
      int code = 0;
      words >> code;
      for (const ServerCallPtr& call : std::exchange(kept_, {}))
        call->finish({static_cast<GrpcCode>(code), "said so", {}});
    } else if (command == "stop_reading") {
      reading_ = false;
      wire_->from_stream->room = 0;
    } else {
      wire_->send(bytes_of(command, words));
    }
    strand_.settle();
    collect();
  }

 private:
  class Talk final : public ServerStreamHandler {
   public:
    Talk(std::string& seen, ServerCallPtr call) : seen_(seen), call_(std::move(call)) {}
    void on_message(std::string_view message) override {
      seen_ += "Talk " + std::to_string(message.size()) + " bytes\n";
      if (message == "flood") call_->send(std::string(1'000'000, 'x'));
    }
    void on_half_close() override {
      seen_ += "Talk half-close\n";
      call_->finish({});
    }
    void on_cancelled() override { seen_ += "Talk cancelled\n"; }

   private:
    std::string& seen_;
    ServerCallPtr call_;
  };

  static ServerOptions options() {
    ServerOptions options;
    options.concurrent_streams_max = 100;
    options.message_bytes_max = 1000;
    options.stream_window_bytes = 10'000;
    options.connection_window_bytes = 65'535;
    return options;
  }

  // The commands of the round, with its stream's id.
  static std::vector<std::string> commands_of(const std::string& rest, int round) {
    std::vector<std::string> out;
    std::istringstream commands(rest);
    for (std::string line; std::getline(commands >> std::ws, line, ';');) {
      if (const std::size_t at = line.find("{}"); at != std::string::npos)
        line.replace(at, 2, std::to_string(2 * round + 1));
      out.push_back(line);
    }
    return out;
  }

  void repeat(const std::string& command, std::istringstream& words) {
    int pause_s = 0;
    int times = 0;
    if (command == "every") words >> pause_s;
    words >> times;
    std::string rest;
    std::getline(words >> std::ws, rest);
    for (int i = 0; i < times && !wire_->ended(); ++i) {
      if (pause_s != 0) strand_.pass(std::chrono::seconds(pause_s));
      for (const std::string& line : commands_of(rest, i)) run(line);
    }
  }

  void at_once(std::istringstream& words) {
    int times = 0;
    words >> times;
    std::string rest;
    std::getline(words >> std::ws, rest);
    std::string bytes;
    for (int i = 0; i < times; ++i) {
      for (const std::string& line : commands_of(rest, i)) {
        std::istringstream inner(line);
        std::string command;
        inner >> command;
        bytes += bytes_of(command, inner);
      }
    }
    wire_->send(bytes);
    strand_.settle();
    collect();
  }

  std::string bytes_of(const std::string& command, std::istringstream& words) {
    if (command == "preface") return std::string(http2_preface) + frame(frame_settings, 0, 0, "");
    if (command == "raw") return from_hex(words);
    if (command == "text") {
      std::string text;
      std::getline(words >> std::ws, text);
      return text + "\r\n\r\n";
    }
    std::string type = command;
    std::string flags;
    std::uint32_t stream = 0;
    if (command == "frame" || command == "fill") words >> type >> flags >> stream;
    if (command == "frame") return frame(type_of(type), flags_of(flags), stream, from_hex(words));
    std::size_t size = 0;
    if (command == "fill") {
      words >> size;
      return frame(type_of(type), flags_of(flags), stream, std::string(size, '\0'));
    }
    words >> stream >> flags;
    if (command == "message") {
      words >> size;
      std::size_t sent = size;
      words >> sent;
      return frame(
          frame_data, flags_of(flags), stream,
          std::string(1, '\0') + big_endian(static_cast<std::uint32_t>(size), 4) + std::string(sent, 'm'));
    }
    EXPECT_TRUE(command == "headers" || command == "usual") << command;
    return header_frames(flags_of(flags), stream, header_block(command == "usual", words));
  }

  static std::string header_frames(std::uint8_t flags, std::uint32_t stream, std::string_view block) {
    constexpr std::size_t frame_bytes_max = 16'384;
    if (block.size() <= frame_bytes_max) return frame(frame_headers, flags | flag_end_headers, stream, block);
    std::string out = frame(frame_headers, flags, stream, block.substr(0, frame_bytes_max));
    for (std::size_t at = frame_bytes_max; at < block.size(); at += frame_bytes_max)
      out += frame(frame_continuation, at + frame_bytes_max < block.size() ? 0 : flag_end_headers, stream,
                   block.substr(at, frame_bytes_max));
    return out;
  }

  static std::string header_block(bool usual, std::istringstream& words) {
    std::vector<std::pair<std::string, std::string>> fields;
    if (usual) {
      fields = {{":method", "POST"}, {":scheme", "http"}, {":path", "/test.Echo/Say"},
                {":authority", "x"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
    }
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      const std::string name = word.substr(0, equals);
      std::string value = word.substr(equals + 1);
      if (value.starts_with("*")) value = std::string(std::stoul(value.substr(1)), 'v');
      const auto known = std::ranges::find(fields, name, &std::pair<std::string, std::string>::first);
      if (usual && known != fields.end()) {
        known->second = value;
      } else {
        fields.emplace_back(name, value);
      }
    }
    std::string block;
    for (const auto& [name, value] : fields) block += hpack_field(name, value);
    return block;
  }

  void collect() {
    if (reading_) printed_ += frames_->read(wire_->received());
  }
  void end_connection() {
    if (wire_ == nullptr) return;
    wire_->hang_up();
    strand_.settle();
    wire_.reset();
    EXPECT_EQ(server_.metrics().calls_open, 0);
    EXPECT_EQ(server_.metrics().connections_open, 1);
    EXPECT_EQ(server_.metrics().answer_bytes_unsent, 0);
    EXPECT_EQ(server_.metrics().request_bytes_buffered, 0);
  }
  void check_health() {
    bool answered = false;
    healthy_->unary("/test.Echo/Say", "healthy", {}, no_deadline, [&](const CallResult& result) {
      answered = result.status.ok() && result.message == "healthy";
    });
    strand_.settle();
    EXPECT_TRUE(answered) << "a healthy client is served whatever others do";
  }

  TestStrand strand_;
  Server server_;
  std::unique_ptr<Channel> healthy_;
  std::unique_ptr<TestWire> wire_;
  std::unique_ptr<FrameReader> frames_;
  std::map<std::string, std::uint64_t> before_;
  std::vector<ServerCallPtr> kept_;
  std::string printed_;
  std::string seen_;
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
    if (skipping) {  // what was printed then
      skipping = !line.empty();
      if (!skipping) out += "\n";
      continue;
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

class BadInput : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(BadInput, HasItsAnswer) {
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
  for (const auto& entry : std::filesystem::directory_iterator("src/rpc/testdata"))
    found.push_back(entry.path());
  std::ranges::sort(found);
  return found;
}

INSTANTIATE_TEST_SUITE_P(Scripts, BadInput, testing::ValuesIn(scripts()),
                         [](const auto& info) { return info.param.stem().string(); });

}  // namespace
}  // namespace lockstep::rpc

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--rewrite") lockstep::rpc::rewrite = true;
  }
  return RUN_ALL_TESTS();
}
