// The port to byte streams over TLS, on streams of any other kind.
//
// TLS 1.2 at least; no renegotiation, no resumption. A stream is handed on when its handshake is done, and
// then looks like any other. Invariants: 1. memory is bounded (I11): handshakes under way by number and time,
// a stream by one record read and a bounded piece written; 2. a failed handshake closes its connection after
// the alert, is counted by its reason and touches nobody else; 3. reload() replaces certificate, key and CA
// for connections from then on, all of them or none. Strand only. What it is made of outlives it and every
// stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "env/clock.h"
#include "env/executor.h"
#include "env/stream.h"

namespace lockstep::platform {

struct TlsOptions {
  // PEM files. Needed to listen; to connect, only where the other side asks for them.
  std::string certificate_file;
  std::string key_file;
  // Whom to trust. Listening: set, every client must show a certificate of it; empty, none is asked for.
  // Connecting: empty, whom the system trusts.
  std::string ca_file;
  // Both ends are members: certificates must be good for servers and clients alike.
  bool members = false;
  // Connecting: false believes any server. For people who say so.
  bool verify_server = true;
  // Connecting: whom the server must prove to be; empty, the host of the address.
  std::string server_name;
  // Connecting: what is offered (ALPN). Listening answers "http/1.1" if it is offered, else "h2".
  std::vector<std::string> protocols = {"h2"};
  Duration handshake_timeout = 10s;
  std::size_t handshakes_max = 1024;
};

struct TlsMetrics {
  std::uint64_t handshakes = 0;  // that succeeded, both ways
  std::uint64_t timed_out = 0;
  std::uint64_t crowded_out = 0;
  std::map<std::string, std::uint64_t> failed;  // by OpenSSL's reason
};

class TlsStreams final : public env::Streams {
 public:
  // Errors: invalid_argument names the file and what is wrong with it.
  static Result<std::unique_ptr<TlsStreams>> create(env::Executor& executor, env::Clock& clock,
                                                    std::shared_ptr<env::Streams> inner,
                                                    const TlsOptions& options);
  ~TlsStreams() override;

  std::unique_ptr<env::Connecting> connect(const std::string& address, env::Connecting::Done done) override;
  Result<std::unique_ptr<env::Listener>> listen(const std::string& address,
                                                env::Listener::Accepted accepted) override;
  // Reads the files again. An error changes nothing.
  Status reload();
  [[nodiscard]] const TlsMetrics& metrics() const;

 private:
  struct Shared;
  class Handshake;
  class Accepting;
  class Dialling;
  explicit TlsStreams(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  std::shared_ptr<Shared> shared_;
};

}  // namespace lockstep::platform
