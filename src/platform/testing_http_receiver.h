// For tests: an HTTP server on loopback that answers as it is told, well or badly.
#pragma once

#include <charconv>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "env/stream.h"

namespace lockstep::platform {

struct ReceivedRequest {
  std::string line;  // "POST /path HTTP/1.1"
  std::string head;  // the headers' lines
  std::string body;
};

// What goes out on the wire, whatever it is.
struct RawAnswer {
  std::string bytes;
  std::string repeated;  // sent so often after the bytes
  int times = 0;
  bool close_after = false;
};

inline RawAnswer plain_answer(int status, std::string_view body = {}, std::string_view headers = {}) {
  return {.bytes = "HTTP/1.1 " + std::to_string(status) + " Text\r\nContent-Length: " +
                   std::to_string(body.size()) + "\r\n" + std::string(headers) + "\r\n" + std::string(body)};
}

// Lives on one strand; the streams outlive it.
class HttpReceiver {
 public:
  using Answering = std::function<RawAnswer(const ReceivedRequest&)>;

  HttpReceiver(env::Streams& streams, Answering answering, const std::string& address = "127.0.0.1:0")
      : shared_(std::make_shared<Shared>()) {
    shared_->answering = std::move(answering);
    auto listening = streams.listen(address, [shared = shared_](std::unique_ptr<env::Stream> stream) {
      ++shared->connections;
      auto connection = std::make_shared<Connection>(shared, std::move(stream));
      shared->open.push_back(connection);
      connection->read();
    });
    LS_MUST(listening.ok());
    listener_ = *std::move(listening);
  }
  ~HttpReceiver() {
    listener_.reset();
    for (const auto& connection : shared_->open) connection->stream->close();
    shared_->open.clear();
  }
  HttpReceiver(const HttpReceiver&) = delete;
  HttpReceiver& operator=(const HttpReceiver&) = delete;

  [[nodiscard]] std::uint16_t port() const { return listener_->port(); }
  [[nodiscard]] std::uint64_t connections() const { return shared_->connections; }
  [[nodiscard]] const std::vector<ReceivedRequest>& requests() const { return shared_->requests; }
  // Otherwise all are kept.
  void keep_none() { shared_->keep = false; }
  void close_connections() {
    for (const auto& connection : shared_->open) connection->stream->close();
    shared_->open.clear();
  }

 private:
  struct Connection;
  struct Shared {
    Answering answering;
    std::uint64_t connections = 0;
    std::vector<ReceivedRequest> requests;
    bool keep = true;
    std::vector<std::shared_ptr<Connection>> open;
  };
  struct Connection : std::enable_shared_from_this<Connection> {
    Connection(std::shared_ptr<Shared> of, std::unique_ptr<env::Stream> on)
        : shared(std::move(of)), stream(std::move(on)), buffer(16 * 1024) {}
    void read() {
      stream->async_read_some(buffer, [self = shared_from_this()](std::error_code error, std::size_t bytes) {
        if (error) return self->stream->close();
        self->input.append(self->buffer.data(), bytes);
        self->take();
      });
    }
    void take() {
      const std::size_t end = input.find("\r\n\r\n");
      if (end == std::string::npos) return read();
      const std::size_t line = input.find("\r\n");
      ReceivedRequest request;
      request.line = input.substr(0, line);
      request.head = input.substr(line + 2, end - line);
      std::size_t size = 0;
      if (const std::size_t at = request.head.find("Content-Length: "); at != std::string::npos) {
        const char* digits = request.head.data() + at + 16;
        std::from_chars(digits, request.head.data() + request.head.size(), size);
      }
      if (input.size() < end + 4 + size) return read();
      request.body = input.substr(end + 4, size);
      input.erase(0, end + 4 + size);
      answer = shared->answering(request);
      if (shared->keep) shared->requests.push_back(std::move(request));
      rest = answer.bytes;
      write();
    }
    void write() {
      if (rest.empty() && answer.times > 0) {
        --answer.times;
        rest = answer.repeated;
      }
      if (rest.empty()) return answer.close_after ? stream->close() : take();
      stream->async_write_some({&rest, 1},
                               [self = shared_from_this()](std::error_code error, std::size_t bytes) {
                                 if (error) return self->stream->close();
                                 self->rest.remove_prefix(bytes);
                                 self->write();
                               });
    }

    std::shared_ptr<Shared> shared;
    std::unique_ptr<env::Stream> stream;
    std::vector<char> buffer;
    std::string input;
    RawAnswer answer;
    std::string_view rest;
  };

  std::shared_ptr<Shared> shared_;
  std::unique_ptr<env::Listener> listener_;
};

}  // namespace lockstep::platform
