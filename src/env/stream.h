// The port to byte streams: ordered bytes over one connection, plain or TLS. Nothing above notices which.
//
// Strand only. At most one read and one write at a time on a stream. `done` is never called inside the call
// that takes it. After close() outstanding operations complete with an error; their buffers are not touched
// any more.
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

namespace lockstep::env {

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
  // Writes what goes out at once of `bytes` and returns how much: zero if that is nothing, or if only
  // async_write_some() can tell, errors included. Not while a write is under way.
  virtual std::size_t write_now(std::string_view /*bytes*/) { return 0; }
  // Whether what is written waits for the disk before it leaves (File::write_and_sync(), `meanwhile`).
  // Writing is allowed; keeping it until the turn's end spares a detour.
  [[nodiscard]] virtual bool held() const { return false; }
  virtual void close() = 0;
  // Nothing will be written any more: the other side sees the end after what was written. Reading goes on.
  virtual void end_writes() {}
  // For log lines.
  [[nodiscard]] virtual std::string remote_address() const = 0;
  // The common name of the certificate with which the other side proved who it is; empty without one.
  [[nodiscard]] virtual std::string peer_common_name() const { return {}; }
  // Whether the other side proved that it may be reached as this host name or address. A plain stream proves
  // nothing and believes.
  [[nodiscard]] virtual bool peer_is(const std::string& /*host*/) const { return true; }
};

// One attempt to connect. Destroying it gives up; its callback is then not called any more.
class Connecting {
 public:
  using Done = std::move_only_function<void(std::error_code error, std::unique_ptr<Stream> stream)>;
  virtual ~Connecting() = default;
};

// Accepts connections until it is destroyed. Out of descriptors, it pauses and goes on.
class Listener {
 public:
  using Accepted = std::move_only_function<void(std::unique_ptr<Stream> stream)>;
  virtual ~Listener() = default;
  [[nodiscard]] virtual std::uint16_t port() const = 0;
};

// Makes streams of one kind (plain TCP, TLS with certain certificates, simulated).
class Streams {
 public:
  virtual ~Streams() = default;
  // Resolves "host:port" or "[v6]:port" and tries its addresses one after the other. `done` is never called
  // inside the call. A TLS stream has finished its handshake by then.
  virtual std::unique_ptr<Connecting> connect(const std::string& address, Connecting::Done done) = 0;
  // Port 0 takes a free one. Errors: invalid_argument for an address that is none, io_error with the system's
  // text.
  virtual Result<std::unique_ptr<Listener>> listen(const std::string& address,
                                                   Listener::Accepted accepted) = 0;
};

}  // namespace lockstep::env
