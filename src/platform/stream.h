// Ordered bytes over one connection: the seam where TLS comes in. A TLS stream implements this face around a
// TcpStream, does its handshake before it is handed to a link, and nothing above notices.
//
// Strand only. At most one read and one write at a time. `done` is never called inside the call that takes
// it. After close() outstanding operations complete with an error; their buffers are not touched any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "base/status.h"

namespace boost::asio {
class io_context;
}

namespace lockstep::platform {

class Stream {
 public:
  // The error is set when the connection ended; then `bytes` is zero.
  using Done = std::move_only_function<void(std::error_code error, std::size_t bytes)>;
  virtual ~Stream() = default;

  // Reads at least one byte into `buffer`, which stays valid until `done` or close().
  virtual void async_read_some(std::span<char> buffer, Done done) = 0;
  // Writes at least one byte of `buffers`, in order; perhaps not all. What they view stays valid until `done`
  // or close().
  virtual void async_write_some(std::span<const std::string_view> buffers, Done done) = 0;
  virtual void close() = 0;
  // For log lines.
  [[nodiscard]] virtual std::string remote_address() const = 0;
};

using StreamDone = std::move_only_function<void(std::error_code error, std::unique_ptr<Stream> stream)>;

// One attempt to connect. Destroying it gives up; `done` is then not called any more.
class Connecting {
 public:
  using Done = std::move_only_function<void(std::error_code error, std::unique_ptr<Stream> stream)>;
  virtual ~Connecting() = default;
};

// Resolves "host:port" or "[v6]:port" and tries its addresses one after the other. `done` is never called
// inside the call.
std::unique_ptr<Connecting> connect_tcp(boost::asio::io_context& context, const std::string& address,
                                        Connecting::Done done);

// Accepts connections until it is destroyed. Out of descriptors, it pauses and goes on.
class Listener {
 public:
  using Accepted = std::move_only_function<void(std::unique_ptr<Stream> stream)>;
  virtual ~Listener() = default;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
};

// Port 0 takes a free one. Errors: invalid_argument for an address that is none, io_error with the system's
// text.
Result<std::unique_ptr<Listener>> listen_tcp(boost::asio::io_context& context, const std::string& address,
                                             Listener::Accepted accepted);

}  // namespace lockstep::platform
