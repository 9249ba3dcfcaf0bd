// What a TLS connection is made with: certificate, key, whom to trust; read from files, checked, replaceable.
// Internal to platform; the only header here that knows OpenSSL's types, by name alone.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"

struct ssl_ctx_st;
struct ssl_st;
struct x509_st;

namespace lockstep::platform {

struct TlsOptions;

// Immutable; connections that began with it keep it.
class TlsContext {
 public:
  // Errors: invalid_argument names the file and what is wrong with it.
  static Result<std::shared_ptr<const TlsContext>> for_listening(const TlsOptions& options);
  static Result<std::shared_ptr<const TlsContext>> for_connecting(const TlsOptions& options);
  ~TlsContext();
  TlsContext(const TlsContext&) = delete;
  TlsContext& operator=(const TlsContext&) = delete;

  // A connection's own state, to be freed with SSL_free. `host` (connecting only) is whom the other side must
  // prove to be.
  [[nodiscard]] ssl_st* make_connection(const std::string& host) const;

 private:
  TlsContext() = default;
  static Result<std::shared_ptr<TlsContext>> make(const TlsOptions& options, bool listening);

  ssl_ctx_st* context_ = nullptr;
  bool listening_ = false;
  bool verify_ = false;
  std::vector<unsigned char> alpn_;  // as it goes over the wire
};

// Exact, by subjectAltName alone: no subject, no partial wildcards.
bool certificate_names(x509_st* certificate, const std::string& host);
std::string common_name_of(x509_st* certificate);

}  // namespace lockstep::platform
