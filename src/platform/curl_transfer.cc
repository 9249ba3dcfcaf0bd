#include "platform/curl_transfer.h"

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <sys/socket.h>

#include "base/assert.h"

namespace lockstep::platform {
namespace {

constexpr std::size_t url_bytes_max = 8 * 1024;
constexpr std::size_t head_bytes_max = 64 * 1024;
constexpr std::size_t method_bytes_max = 32;
constexpr std::size_t retry_after_bytes_max = 64;
// From here on libcurl would first ask whether it may (Expect: 100-continue) and wait a second for an answer.
constexpr std::size_t expect_bytes_min = 512 * 1024;

bool is_token(std::string_view text) {
  static constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || marks.contains(c);
  });
}

bool is_header_value(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7f; });
}

bool same_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() && ::curl_strnequal(a.data(), b.data(), a.size()) != 0;
}

struct FreeUrl {
  void operator()(CURLU* url) const { ::curl_url_cleanup(url); }
};

std::string part_of(CURLU* url, CURLUPart part, unsigned flags) {
  char* text = nullptr;
  if (::curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string copy(text);
  ::curl_free(text);
  return copy;
}

Status bad_url(const std::string& url, std::string_view why) {
  return {Code::invalid_argument, fmt::format("'{}' cannot be called: {}",
                                              url.substr(0, std::min<std::size_t>(url.size(), 200)), why)};
}

}  // namespace

Result<CallTarget> parse_call_url(const std::string& url) {
  if (url.size() > url_bytes_max) return bad_url(url, "it is longer than 8 KiB");
  if (url.contains('\0')) return bad_url(url, "it has a zero byte");
  const std::unique_ptr<CURLU, FreeUrl> parsed(::curl_url());
  LS_MUST(parsed != nullptr, "out of memory");
  const CURLUcode read = ::curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), CURLU_DISALLOW_USER);
  if (read == CURLUE_USER_NOT_ALLOWED) return bad_url(url, "it holds a user or a password");
  if (read != CURLUE_OK) return bad_url(url, ::curl_url_strerror(read));
  const std::string scheme = part_of(parsed.get(), CURLUPART_SCHEME, 0);
  if (scheme != "http" && scheme != "https")
    return bad_url(url, "it begins neither with http:// nor https://");
  CallTarget target;
  target.host = part_of(parsed.get(), CURLUPART_HOST, 0);
  if (target.host.empty()) return bad_url(url, "it names no host");
  target.destination =
      scheme + "://" + target.host + ":" + part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
  if (target.host.starts_with('[')) target.host = target.host.substr(1, target.host.size() - 2);
  return target;
}

Status check_call(const env::HttpCall& call) {
  if (!is_token(call.method) || call.method.size() > method_bytes_max)
    return {Code::invalid_argument, "the method is none"};
  for (const auto& [name, value] : call.headers) {
    if (!is_token(name)) return {Code::invalid_argument, fmt::format("'{}' is no name of a header", name)};
    if (!is_header_value(value))
      return {Code::invalid_argument, fmt::format("the header {} has control characters in its value", name)};
  }
  return {};
}

CurlTransfer::CurlTransfer(CurlMulti& multi, const HttpClientOptions& options)
    : multi_(multi), policy_(options.policy), easy_(::curl_easy_init()) {
  LS_MUST(easy_ != nullptr, "out of memory");
  configure(options);
}

CurlTransfer::~CurlTransfer() {
  ::curl_slist_free_all(headers_);
  ::curl_easy_cleanup(easy_);
}

void CurlTransfer::configure(const HttpClientOptions& options) {
  const auto set = [this](auto option, auto value) {
    LS_MUST(::curl_easy_setopt(easy_, option, value) == CURLE_OK, "this libcurl lacks an option");
  };
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_QUICK_EXIT, 1L);  // giving up does not wait for the thread that resolves a name
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PROXY, "");
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout / 1ms));
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set(CURLOPT_ERRORBUFFER, error_.data());
  set(CURLOPT_WRITEFUNCTION, &CurlTransfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, &CurlTransfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_OPENSOCKETFUNCTION, &CurlTransfer::on_open);
  set(CURLOPT_OPENSOCKETDATA, this);
  set(CURLOPT_CLOSESOCKETFUNCTION, &CurlMulti::close_socket);
  set(CURLOPT_CLOSESOCKETDATA, &multi_);
  set(CURLOPT_SSL_VERIFYPEER, 1L);
  set(CURLOPT_SSL_VERIFYHOST, 2L);
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  if (!options.ca_file.empty()) {
    set(CURLOPT_CAINFO, options.ca_file.c_str());
    set(CURLOPT_CAPATH, nullptr);
  }
}

void CurlTransfer::begin(const env::HttpCall& call, const std::string& host, void* owner) {
  LS_MUST(call_ == nullptr);
  call_ = &call;
  host_ = host;
  reply_ = {};
  head_bytes_ = 0;
  answer_too_long_ = answer_cut_ = head_too_long_ = tried_to_connect_ = false;
  refused_ = {};
  error_[0] = '\0';
  ::curl_easy_setopt(easy_, CURLOPT_PRIVATE, owner);
  LS_MUST(::curl_easy_setopt(easy_, CURLOPT_URL, call.url.c_str()) == CURLE_OK);
  set_method();
  set_headers();
}

void CurlTransfer::set_method() {
  const std::string& method = call_->method;
  const bool has_body = method == "POST" || method == "PUT" || method == "PATCH" || !call_->body.empty();
  ::curl_easy_setopt(easy_, CURLOPT_NOBODY, 0L);  // the order counts: each sets the method
  if (has_body) {
    ::curl_easy_setopt(easy_, CURLOPT_POST, 1L);
    ::curl_easy_setopt(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call_->body.size()));
    ::curl_easy_setopt(easy_, CURLOPT_POSTFIELDS, call_->body.data());
  } else {
    ::curl_easy_setopt(easy_, CURLOPT_HTTPGET, 1L);
    if (method == "HEAD") ::curl_easy_setopt(easy_, CURLOPT_NOBODY, 1L);
  }
  const bool plain = method == (has_body ? "POST" : "GET") || (!has_body && method == "HEAD");
  ::curl_easy_setopt(easy_, CURLOPT_CUSTOMREQUEST, plain ? nullptr : method.c_str());
}

void CurlTransfer::set_headers() {
  bool has_type = false;
  curl_slist* list = nullptr;
  const auto append = [&list](const char* line) {
    curl_slist* longer = ::curl_slist_append(list, line);
    LS_MUST(longer != nullptr, "out of memory");
    list = longer;
  };
  std::string line;
  for (const auto& [name, value] : call_->headers) {
    has_type = has_type || same_ignoring_case(name, "content-type");
    line.assign(name);
    if (value.empty()) {
      line += ';';  // how libcurl is told of an empty value
    } else {
      line.append(": ").append(value);
    }
    append(line.c_str());
  }
  if (!has_type) append("Content-Type:");  // libcurl would call it a form
  if (call_->body.size() >= expect_bytes_min) append("Expect:");
  ::curl_slist_free_all(std::exchange(headers_, list));
  ::curl_easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
}

std::size_t CurlTransfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  const std::size_t bytes = size * count;
  const std::size_t room = transfer.call_->answer_bytes_max - transfer.reply_.body.size();
  if (bytes > room) {
    transfer.answer_cut_ = transfer.call_->cut_answer;
    transfer.answer_too_long_ = !transfer.answer_cut_;
    if (transfer.answer_cut_) transfer.reply_.body.append(data, room);
    return 0;  // no more of it
  }
  transfer.reply_.body.append(data, bytes);
  return bytes;
}

std::size_t CurlTransfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  const std::size_t bytes = size * count;
  transfer.head_bytes_ += bytes;
  if (transfer.head_bytes_ > head_bytes_max) {
    transfer.head_too_long_ = true;
    return 0;
  }
  constexpr std::string_view retry_after = "retry-after:";
  std::string_view line(data, bytes);
  if (line.size() <= retry_after.size() ||
      !same_ignoring_case(line.substr(0, retry_after.size()), retry_after))
    return bytes;
  line.remove_prefix(retry_after.size());
  const std::size_t first = line.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return bytes;
  line = line.substr(first, line.find_last_not_of(" \t\r\n") - first + 1);
  if (line.size() <= retry_after_bytes_max) transfer.reply_.retry_after = line;
  return bytes;
}

curl_socket_t CurlTransfer::on_open(void* self, curlsocktype /*purpose*/, curl_sockaddr* address) {
  auto& transfer = *static_cast<CurlTransfer*>(self);
  const std::optional<IpAddress> real = ip_address_of(&address->addr);
  const Status allowed = real ? transfer.policy_.judge(transfer.host_, *real, port_of(&address->addr))
                              : Status(Code::permission_denied, "it is reached neither by IPv4 nor by IPv6");
  if (!allowed.ok()) {
    transfer.refused_ = allowed;
    return CURL_SOCKET_BAD;
  }
  transfer.tried_to_connect_ = true;
  const int socket = ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  if (socket < 0) return CURL_SOCKET_BAD;
  transfer.multi_.opened(socket);
  return socket;
}

bool CurlTransfer::sent_something() const {
  long bytes = 0;
  return ::curl_easy_getinfo(easy_, CURLINFO_REQUEST_SIZE, &bytes) != CURLE_OK || bytes > 0;
}

long CurlTransfer::connections_made() const {
  long made = 0;
  ::curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &made);
  return made;
}

void* CurlTransfer::owner_of(CURL* easy) {
  void* owner = nullptr;
  LS_MUST(::curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner) == CURLE_OK);
  return owner;
}

Result<env::HttpReply> CurlTransfer::finish(CURLcode code) {
  LS_MUST(call_ != nullptr);
  const bool sent = sent_something();
  long status = 0;
  ::curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  const std::string text = error_[0] != '\0' ? error_.data() : ::curl_easy_strerror(code);
  const std::size_t answer_bytes_max = call_->answer_bytes_max;
  end();
  if ((code == CURLE_OK || answer_cut_) && status >= 100) {
    reply_.status = static_cast<int>(status);
    return std::move(reply_);
  }
  if (!refused_.ok() && !tried_to_connect_) return refused_;
  if (answer_too_long_)
    return Status(Code::resource_exhausted,
                  fmt::format("the answer ({}) is longer than {} bytes", status, answer_bytes_max));
  if (head_too_long_) return Status(Code::unknown_outcome, "the answer's head is longer than 64 KiB");
  if (!sent) return Status(Code::unavailable, fmt::format("not connected: {}", text));
  return Status(Code::unknown_outcome, fmt::format("no answer: {}", text));
}

Status CurlTransfer::give_up() {
  LS_MUST(call_ != nullptr);
  const bool sent = sent_something();
  end();
  if (!sent) return {Code::unavailable, "not connected within the time given"};
  return {Code::unknown_outcome, "no answer within the time given"};
}

void CurlTransfer::end() {
  multi_.remove(easy_);
  call_ = nullptr;
}

}  // namespace lockstep::platform
