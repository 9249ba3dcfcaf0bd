#include "gateway/http1/parser.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>

#include "base/assert.h"
#include "gateway/http1/checks.h"

namespace lockstep::gateway {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;

// A line of chunked coding that makes no end within this is no chunk.
constexpr std::size_t chunk_line_bytes_max = 4 * 1024;

// Old clients send one after a body.
constexpr int empty_lines_max = 4;

// The shortest rest of a chunked body. Beast insists on seeing as much of the last chunk at once.
constexpr std::size_t last_chunk_bytes = 5;

// A body that grows with what arrived, not with what was announced.
struct GrowingBody {
  using value_type = std::string;
  // NOLINTNEXTLINE(readability-identifier-naming): Beast's name
  class reader {
   public:
    template <bool is_request, class Fields>
    reader(http::header<is_request, Fields>& /*header*/, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>& /*length*/, error_code& error) { error = {}; }
    template <class Buffers>
    std::size_t put(const Buffers& buffers, error_code& error) {
      error = {};
      std::size_t bytes = 0;
      for (auto at = boost::asio::buffer_sequence_begin(buffers);
           at != boost::asio::buffer_sequence_end(buffers); ++at) {
        const boost::asio::const_buffer buffer = *at;
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
        bytes += buffer.size();
      }
      return bytes;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace

struct Http1Parser::Beast {
  http::request_parser<GrowingBody> parser;
};

Http1Parser::Http1Parser(const Http1Limits& limits) : limits_(limits), beast_(std::make_unique<Beast>()) {
  beast_->parser.header_limit(static_cast<std::uint32_t>(limits.head_bytes_max + limits.target_bytes_max));
  beast_->parser.body_limit(boost::none);  // check_lengths() tells too large from absurd
  beast_->parser.eager(false);
}

Http1Parser::~Http1Parser() = default;

std::size_t Http1Parser::fail(int status, std::string_view why) {
  error_ = status;
  why_ = why;
  return 0;
}

std::size_t Http1Parser::put(std::string_view bytes) {
  if (error_ != 0 || complete_ || bytes.empty()) return 0;
  begun_ = true;
  return head_done_ ? put_body(bytes) : put_head(bytes);
}

// Limits of a head, or of as much of it as came: looked at first, so that the answer does not depend on how
// the bytes were cut.
void Http1Parser::check_head_limits(std::string_view bytes) {
  const std::size_t line = bytes.find('\n');
  if (std::min(line, bytes.size()) > limits_.target_bytes_max + 32) {
    fail(414, "the request line is too long");
  } else if (bytes.size() > limits_.target_bytes_max + limits_.head_bytes_max) {
    fail(431, "the headers are too large");
  }
}

bool Http1Parser::check_raw_head(std::string_view head) {
  std::size_t lines = 0;
  std::size_t first_line = 0;
  for (std::size_t i = 0; i < head.size(); ++i) {
    const char c = head[i];
    if (c != '\r' && c != '\n') continue;
    if (c == '\n' || i + 1 >= head.size() || head[i + 1] != '\n') {
      fail(400, "lines end with CR and LF");
      return false;
    }
    if (lines++ == 0) first_line = i;
    ++i;
    const char next = i + 1 < head.size() ? head[i + 1] : 'x';
    if (next == ' ' || next == '\t') {
      fail(400, "folded header lines are not accepted");
      return false;
    }
  }
  if (first_line > limits_.target_bytes_max + 32) {
    fail(414, "the request line is too long");
  } else if (head.size() - first_line > limits_.head_bytes_max || lines > limits_.fields_max + 2) {
    fail(431, "the headers are too large or too many");
  }
  return error_ == 0;
}

std::size_t Http1Parser::put_head(std::string_view bytes) {
  // Lenient about empty lines before a request, as RFC 9112 (section 2.2) asks.
  std::size_t skipped = 0;
  for (; bytes.substr(skipped).starts_with("\r\n"); skipped += 2) {
    if (++empty_lines_ > empty_lines_max) return fail(400, "too many empty lines");
  }
  if (skipped != 0) return skipped + (skipped == bytes.size() ? 0 : put_head(bytes.substr(skipped)));
  const std::size_t end = bytes.find("\r\n\r\n");
  // A line that ends with LF alone would never show that end.
  const std::size_t lone = bytes.find("\n\n");
  check_head_limits(bytes.substr(0, std::min(end, lone)));
  if (error_ != 0) return 0;
  if (end == std::string_view::npos || lone < end) {
    if (lone != std::string_view::npos) return fail(400, "lines end with CR and LF");
    return 0;
  }
  const std::string_view head = bytes.substr(0, end + 4);
  if (!check_raw_head(head)) return 0;
  error_code error;
  const std::size_t taken = beast_->parser.put(boost::asio::buffer(head.data(), head.size()), error);
  // All of the head is here: who wants more of it took its end for something else.
  if (error || !beast_->parser.is_header_done() || taken != head.size()) {
    fail(400, "not an HTTP request");
    if (error == http::error::bad_version) fail(505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    if (error == http::error::header_limit) fail(431, "the headers are too large");
    return 0;
  }
  const auto& message = beast_->parser.get();
  http_1_0_ = message.version() < 11;
  keep_alive_ = message.keep_alive();
  request_.method = std::string(message.method_string());
  for (const auto& field : message)
    request_.fields.push_back({lower(field.name_string()), std::string(field.value())});
  const Refused target = split_target(message.target(), &request_);
  if (target.status != 0) return fail(target.status, target.why);
  if (!check_fields() || !check_lengths()) return 0;
  head_done_ = true;
  beast_->parser.body_limit(limits_.body_bytes_max);
  beast_->parser.eager(true);
  complete_ = beast_->parser.is_done();
  if (complete_) return taken;
  return taken + put_body(bytes.substr(taken));
}

bool Http1Parser::check_fields() {
  const auto count = [&](std::string_view name) {
    return std::ranges::count(request_.fields, name, &HttpField::name);
  };
  if (count("host") > 1 || (count("host") == 0 && !http_1_0_)) {
    fail(400, "exactly one Host is needed");
  } else if (count("authorization") > 1) {
    fail(400, "two Authorization headers");
  } else if (const auto expect = request_.field("expect"); expect.has_value()) {
    expects_continue_ = lower(*expect) == "100-continue";
    if (!expects_continue_) fail(417, "unknown expectation");
  }
  return error_ == 0;
}

bool Http1Parser::check_lengths() {
  const auto count = [&](std::string_view name) {
    return std::ranges::count(request_.fields, name, &HttpField::name);
  };
  const auto encodings = count("transfer-encoding");
  const auto lengths = count("content-length");
  if (encodings + lengths > 1) {
    fail(400, "one length is needed, not two");
  } else if (encodings == 1 && (http_1_0_ || lower(*request_.field("transfer-encoding")) != "chunked")) {
    fail(400, "the only transfer encoding is chunked");
  } else if (lengths == 1) {
    const std::string_view length = *request_.field("content-length");
    constexpr std::size_t digits_max = 19;  // 2^63 has as many
    const bool digits = !length.empty() && length.size() <= digits_max &&
                        std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || std::stoull(std::string(length)) > std::numeric_limits<std::int64_t>::max()) {
      fail(400, "the content length is no number");
    } else if (std::stoull(std::string(length)) > limits_.body_bytes_max) {
      fail(413, "the body is too large");
    }
  }
  return error_ == 0;
}

std::size_t Http1Parser::put_body(std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && !beast_->parser.is_done()) {
    error_code error;
    const std::string_view rest = bytes.substr(taken);
    if (beast_->parser.chunked() && rest.size() < last_chunk_bytes) break;
    const std::size_t now = beast_->parser.put(boost::asio::buffer(rest.data(), rest.size()), error);
    taken += now;
    if (error == http::error::need_more) {
      if (rest.size() - now > chunk_line_bytes_max) return fail(400, "a chunk's line is too long");
      break;
    }
    if (error == http::error::body_limit) return fail(413, "the body is too large");
    if (error) return fail(400, "the body is not what its headers announced");
    if (now == 0) break;
  }
  complete_ = beast_->parser.is_done();
  return taken;
}

std::size_t Http1Parser::body_bytes() const {
  return beast_->parser.get().body().size();
}

HttpRequest Http1Parser::take() {
  LS_MUST(complete_);
  request_.body = std::move(beast_->parser.get().body());
  return std::move(request_);
}

}  // namespace lockstep::gateway
