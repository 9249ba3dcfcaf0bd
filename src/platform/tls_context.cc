#include "platform/tls_context.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/assert.h"
#include "platform/tls_streams.h"

namespace lockstep::platform {
namespace {

// Forward secrecy and authenticated encryption only; TLS 1.3 has nothing else.
constexpr const char* ciphers_of_tls_1_2 = "ECDHE+AESGCM:ECDHE+CHACHA20";
constexpr unsigned host_flags = X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS;

std::string openssl_error() {
  const unsigned long code = ERR_get_error();
  const char* reason = ERR_reason_error_string(code);
  ERR_clear_error();
  return reason == nullptr ? "unreadable" : reason;
}

Status bad_file(const std::string& what, const std::string& file) {
  return {Code::invalid_argument, what + " '" + file + "': " + openssl_error()};
}

// gRPC clients offer "h2" alone; who also knows HTTP/1.1 (browsers, curl) means that.
int choose_protocol(SSL* /*connection*/, const unsigned char** chosen, unsigned char* chosen_size,
                    const unsigned char* offered, unsigned int offered_size, void* /*unused*/) {
  static constexpr unsigned char ours[] = "\x08http/1.1\x02h2";
  unsigned char* found = nullptr;
  const int result = SSL_select_next_proto(&found, chosen_size, ours, sizeof ours - 1, offered, offered_size);
  if (result != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

// A member's certificate must serve both roles: an administrator's, or an application's, is no member's.
int verify_member(int ok, X509_STORE_CTX* store) {
  if (ok != 1 || X509_STORE_CTX_get_error_depth(store) != 0) return ok;
  X509* certificate = X509_STORE_CTX_get_current_cert(store);
  if (X509_check_purpose(certificate, X509_PURPOSE_SSL_SERVER, 0) == 1 &&
      X509_check_purpose(certificate, X509_PURPOSE_SSL_CLIENT, 0) == 1)
    return 1;
  X509_STORE_CTX_set_error(store, X509_V_ERR_INVALID_PURPOSE);
  return 0;
}

Status load_identity(SSL_CTX* context, const TlsOptions& options) {
  if (SSL_CTX_use_certificate_chain_file(context, options.certificate_file.c_str()) != 1)
    return bad_file("certificate", options.certificate_file);
  if (SSL_CTX_use_PrivateKey_file(context, options.key_file.c_str(), SSL_FILETYPE_PEM) != 1)
    return bad_file("private key", options.key_file);
  if (SSL_CTX_check_private_key(context) != 1) return bad_file("private key", options.key_file);
  return {};
}

Status load_trust(SSL_CTX* context, const TlsOptions& options, bool listening) {
  if (options.ca_file.empty()) {
    if (!listening && options.verify_server) SSL_CTX_set_default_verify_paths(context);
    return {};
  }
  if (SSL_CTX_load_verify_file(context, options.ca_file.c_str()) != 1) return bad_file("CA", options.ca_file);
  if (listening) SSL_CTX_set_client_CA_list(context, SSL_load_client_CA_file(options.ca_file.c_str()));
  return {};
}

}  // namespace

TlsContext::~TlsContext() {
  SSL_CTX_free(context_);
}

Result<std::shared_ptr<TlsContext>> TlsContext::make(const TlsOptions& options, bool listening) {
  ERR_clear_error();
  std::shared_ptr<TlsContext> made(new TlsContext());
  made->context_ = SSL_CTX_new(listening ? TLS_server_method() : TLS_client_method());
  LS_MUST(made->context_ != nullptr);
  made->listening_ = listening;
  SSL_CTX* context = made->context_;
  LS_MUST(SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1);
  LS_MUST(SSL_CTX_set_cipher_list(context, ciphers_of_tls_1_2) == 1);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(context, 0);
  // A resumed session would outlive the trust it began with.
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
  LS_RETURN_IF_ERROR(load_trust(context, options, listening));
  if (listening || !options.certificate_file.empty()) LS_RETURN_IF_ERROR(load_identity(context, options));
  const auto verify_callback = options.members ? verify_member : nullptr;
  if (listening) {
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
    const bool asks = !options.ca_file.empty();
    SSL_CTX_set_verify(context, asks ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE,
                       asks ? verify_callback : nullptr);
  } else {
    made->verify_ = options.verify_server;
    SSL_CTX_set_verify(context, made->verify_ ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       made->verify_ ? verify_callback : nullptr);
    for (const std::string& protocol : options.protocols) {
      LS_MUST(protocol.size() < 256);
      made->alpn_.push_back(static_cast<unsigned char>(protocol.size()));
      made->alpn_.insert(made->alpn_.end(), protocol.begin(), protocol.end());
    }
  }
  return made;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::for_listening(const TlsOptions& options) {
  if (options.members && options.ca_file.empty())
    return Status(Code::invalid_argument, "members prove who they are: a CA is needed");
  LS_ASSIGN_OR_RETURN(std::shared_ptr<TlsContext> made, make(options, true));
  return std::shared_ptr<const TlsContext>(std::move(made));
}

Result<std::shared_ptr<const TlsContext>> TlsContext::for_connecting(const TlsOptions& options) {
  LS_ASSIGN_OR_RETURN(std::shared_ptr<TlsContext> made, make(options, false));
  return std::shared_ptr<const TlsContext>(std::move(made));
}

ssl_st* TlsContext::make_connection(const std::string& host) const {
  SSL* connection = SSL_new(context_);
  LS_MUST(connection != nullptr);
  if (listening_) {
    SSL_set_accept_state(connection);
    return connection;
  }
  SSL_set_connect_state(connection);
  if (!alpn_.empty())
    LS_MUST(SSL_set_alpn_protos(connection, alpn_.data(), static_cast<unsigned>(alpn_.size())) == 0);
  X509_VERIFY_PARAM* parameters = SSL_get0_param(connection);
  const bool is_address = X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str()) == 1;
  if (!is_address) {
    SSL_set_tlsext_host_name(connection, host.c_str());
    SSL_set_hostflags(connection, host_flags);
    LS_MUST(SSL_set1_host(connection, host.c_str()) == 1);
  }
  return connection;
}

bool certificate_names(x509_st* certificate, const std::string& host) {
  if (certificate == nullptr || host.empty()) return false;
  if (X509_check_ip_asc(certificate, host.c_str(), 0) == 1) return true;
  return X509_check_host(certificate, host.data(), host.size(), host_flags, nullptr) == 1;
}

std::string common_name_of(x509_st* certificate) {
  if (certificate == nullptr) return {};
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  // Two names are no name.
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  unsigned char* text = nullptr;
  const int size = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string name(reinterpret_cast<const char*>(text), static_cast<std::size_t>(size));
  OPENSSL_free(text);
  // "root\0.evil.example" is not "root".
  return name.find('\0') == std::string::npos ? name : std::string();
}

}  // namespace lockstep::platform
