// For tests: an authority that issues certificates into a directory, good ones and bad ones.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/assert.h"

namespace lockstep::platform {

struct CertificateOptions {
  std::string common_name;
  std::string names = "DNS:localhost,IP:127.0.0.1";  // empty: no subjectAltName
  std::string usage = "serverAuth,clientAuth";
  long valid_from_s = -3600;  // from now
  long valid_until_s = 3600;
};

struct CertificateFiles {
  std::string certificate;
  std::string key;
};

class TestAuthority {
 public:
  // Writes NAME.crt.
  TestAuthority(std::string directory, const std::string& name)
      : directory_(std::move(directory)), key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
    file_ = directory_ + "/" + name + ".crt";
    fill(certificate_, {.common_name = name, .names = "", .usage = ""}, key_, certificate_);
    add(certificate_, NID_basic_constraints, "critical,CA:TRUE");
    LS_MUST(X509_sign(certificate_, key_, EVP_sha256()) != 0);
    write_certificate(file_, certificate_);
  }
  ~TestAuthority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  [[nodiscard]] const std::string& file() const { return file_; }

  // Writes NAME.crt and NAME.key.
  CertificateFiles issue(const std::string& name, CertificateOptions options) {
    if (options.common_name.empty()) options.common_name = name;
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    fill(certificate, options, key, certificate_);
    LS_MUST(X509_sign(certificate, key_, EVP_sha256()) != 0);
    const CertificateFiles files{directory_ + "/" + name + ".crt", directory_ + "/" + name + ".key"};
    write_certificate(files.certificate, certificate);
    std::FILE* out = std::fopen(files.key.c_str(), "we");
    LS_MUST(out != nullptr);
    LS_MUST(PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    std::fclose(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return files;
  }

 private:
  static void fill(X509* certificate, const CertificateOptions& options, EVP_PKEY* key, X509* issuer) {
    static long serial = 1;
    LS_MUST(X509_set_version(certificate, 2) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), options.valid_from_s);
    X509_gmtime_adj(X509_getm_notAfter(certificate), options.valid_until_s);
    LS_MUST(X509_set_pubkey(certificate, key) == 1);
    X509_NAME* name = X509_get_subject_name(certificate);
    LS_MUST(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                       reinterpret_cast<const unsigned char*>(options.common_name.data()),
                                       static_cast<int>(options.common_name.size()), -1, 0) == 1);
    LS_MUST(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1);
    if (!options.names.empty()) add(certificate, NID_subject_alt_name, options.names);
    if (!options.usage.empty()) add(certificate, NID_ext_key_usage, options.usage);
  }
  static void add(X509* certificate, int kind, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    LS_MUST(extension != nullptr);
    LS_MUST(X509_add_ext(certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
  }
  static void write_certificate(const std::string& file, X509* certificate) {
    std::FILE* out = std::fopen(file.c_str(), "we");
    LS_MUST(out != nullptr);
    LS_MUST(PEM_write_X509(out, certificate) == 1);
    std::fclose(out);
  }

  std::string directory_;
  std::string file_;
  EVP_PKEY* key_;
  X509* certificate_;
};

}  // namespace lockstep::platform
