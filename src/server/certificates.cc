#include "server/certificates.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <unistd.h>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

namespace lockstep::server {
namespace {

template <auto release>
struct Release {
  template <class T>
  void operator()(T* object) const {
    release(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Release<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Release<X509_free>>;
using Memory = std::unique_ptr<BIO, Release<BIO_free_all>>;
using Extension = std::unique_ptr<X509_EXTENSION, Release<X509_EXTENSION_free>>;

constexpr int serial_bits = 127;
constexpr std::int64_t backdate_s = 300;  // clocks of machines differ
constexpr std::int64_t day_s = 86'400;

Status failed(std::string_view what) {
  std::array<char, 256> text{};
  ERR_error_string_n(ERR_get_error(), text.data(), text.size());
  return {Code::internal, fmt::format("{}: {}", what, text.data())};
}

// Refuses to replace what exists: a lost CA key cannot be had back.
Status write_new(const std::string& path, std::string_view bytes, mode_t mode) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (file < 0) {
    const Code code = errno == EEXIST ? Code::already_exists : Code::io_error;
    return {code, fmt::format("{}: {}", path, std::strerror(errno))};
  }
  const bool written =
      ::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) && ::fsync(file) == 0;
  const int why = errno;
  ::close(file);
  if (!written) return {Code::io_error, fmt::format("{}: {}", path, std::strerror(why))};
  return {};
}

Status write_key(const std::string& path, EVP_PKEY* key) {
  const Memory memory(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PrivateKey(memory.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return failed(path);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(memory.get(), &data);
  return write_new(path, {data, static_cast<std::size_t>(size)}, 0600);
}

Status write_certificate(const std::string& path, X509* certificate) {
  const Memory memory(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(memory.get(), certificate) != 1) return failed(path);
  char* data = nullptr;
  const auto size = BIO_get_mem_data(memory.get(), &data);
  return write_new(path, {data, static_cast<std::size_t>(size)}, 0644);
}

Status add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  if (!extension || X509_add_ext(certificate, extension.get(), -1) != 1) return failed(value);
  return {};
}

Status set_serial(X509* certificate) {
  const std::unique_ptr<BIGNUM, Release<BN_free>> serial(BN_new());
  if (!serial || BN_rand(serial.get(), serial_bits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) != 1 ||
      BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) == nullptr)
    return failed("make a serial number");
  return {};
}

struct Issued {
  Key key;
  Certificate certificate;
};

struct Extensions {
  std::string constraints;
  std::string usage;
  std::string extended_usage;     // empty: none
  std::string alternative_names;  // empty: none
};

// Signed by `issuer`, or by itself if there is none.
Result<Issued> issue(const std::string& common_name, const Extensions& extensions, int days,
                     const Issued* issuer) {
  Issued made{Key(EVP_EC_gen("P-256")), Certificate(X509_new())};
  if (!made.key || !made.certificate) return failed("make a key");
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  LS_RETURN_IF_ERROR(set_serial(certificate));
  X509_gmtime_adj(X509_getm_notBefore(certificate), -backdate_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate), days * day_s);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(common_name.data()),
                             static_cast<int>(common_name.size()), -1, 0);
  X509* issuing = issuer == nullptr ? certificate : issuer->certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(issuing));
  LS_RETURN_IF_ERROR(add_extension(certificate, issuing, NID_basic_constraints, extensions.constraints));
  LS_RETURN_IF_ERROR(add_extension(certificate, issuing, NID_key_usage, extensions.usage));
  LS_RETURN_IF_ERROR(add_extension(certificate, issuing, NID_subject_key_identifier, "hash"));
  LS_RETURN_IF_ERROR(add_extension(certificate, issuing, NID_authority_key_identifier, "keyid:always"));
  if (!extensions.extended_usage.empty())
    LS_RETURN_IF_ERROR(add_extension(certificate, issuing, NID_ext_key_usage, extensions.extended_usage));
  if (!extensions.alternative_names.empty())
    LS_RETURN_IF_ERROR(
        add_extension(certificate, issuing, NID_subject_alt_name, extensions.alternative_names));
  EVP_PKEY* signing = issuer == nullptr ? made.key.get() : issuer->key.get();
  if (X509_sign(certificate, signing, EVP_sha256()) == 0) return failed("sign a certificate");
  return made;
}

bool is_ip_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> ignored{};
  return ::inet_pton(AF_INET, host.c_str(), ignored.data()) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), ignored.data()) == 1;
}

std::string alternative_names(const std::string& name, const std::vector<std::string>& hosts) {
  std::string names = "DNS:localhost,IP:127.0.0.1,IP:::1";
  if (!name.empty() && !is_ip_address(name)) names += ",DNS:" + name;
  for (const std::string& host : hosts) names += (is_ip_address(host) ? ",IP:" : ",DNS:") + host;
  return names;
}

Status write_pair(const InitOptions& options, const std::string& name, const Issued& issued,
                  std::vector<std::string>& written) {
  const std::string base = options.directory + "/" + name;
  LS_RETURN_IF_ERROR(write_key(base + ".key", issued.key.get()));
  LS_RETURN_IF_ERROR(write_certificate(base + ".crt", issued.certificate.get()));
  written.push_back(base + ".crt");
  written.push_back(base + ".key");
  return {};
}

}  // namespace

Result<std::vector<std::string>> make_certificates(const InitOptions& options) {
  for (const std::string& host : options.hosts) {
    if (host.empty() || host.find_first_of(",: /\n") != std::string::npos)
      if (!is_ip_address(host))
        return Status(Code::invalid_argument, fmt::format("'{}' is not a host", host));
  }
  for (const std::string& name : options.names) {
    if (name.empty() || name == "ca" || name == "root" || name.find_first_of(",: /\n") != std::string::npos)
      return Status(Code::invalid_argument, fmt::format("'{}' cannot be a member's name", name));
  }
  if (::mkdir(options.directory.c_str(), 0700) != 0 && errno != EEXIST)
    return Status(Code::io_error, fmt::format("{}: {}", options.directory, std::strerror(errno)));

  std::vector<std::string> written;
  LS_ASSIGN_OR_RETURN(
      const Issued authority,
      issue("Lockstep CA", {"critical,CA:TRUE,pathlen:0", "critical,keyCertSign,cRLSign", "", ""}, 10 * 365,
            nullptr));
  LS_RETURN_IF_ERROR(write_pair(options, "ca", authority, written));
  for (const std::string& name : options.names) {
    LS_ASSIGN_OR_RETURN(const Issued member,
                        issue(name,
                              {"critical,CA:FALSE", "critical,digitalSignature", "serverAuth,clientAuth",
                               alternative_names(name, options.hosts)},
                              options.days, &authority));
    LS_RETURN_IF_ERROR(write_pair(options, name, member, written));
  }
  LS_ASSIGN_OR_RETURN(const Issued root,
                      issue("root", {"critical,CA:FALSE", "critical,digitalSignature", "clientAuth", ""},
                            options.days, &authority));
  LS_RETURN_IF_ERROR(write_pair(options, "root", root, written));
  return written;
}

Result<std::string> make_password_file(const std::string& directory) {
  constexpr std::string_view letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789_-";
  constexpr std::size_t length = 32;
  std::string password;
  while (password.size() < length) {
    unsigned char byte = 0;
    if (RAND_bytes(&byte, 1) != 1) return failed("draw a password");
    if (byte < letters.size() * (256 / letters.size())) password += letters[byte % letters.size()];
  }
  const std::string path = directory + "/root.password";
  LS_RETURN_IF_ERROR(write_new(path, password + "\n", 0600));
  return path;
}

}  // namespace lockstep::server
