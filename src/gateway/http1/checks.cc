#include "gateway/http1/checks.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace lockstep::gateway {
namespace {

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  const char small = static_cast<char>(digit | 0x20);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

bool is_escape(std::string_view text, std::size_t at) {
  return text[at] == '%' && at + 2 < text.size() && hex_value(text[at + 1]) >= 0 &&
         hex_value(text[at + 2]) >= 0;
}

// Nothing if an escape is broken or stands for a control byte.
std::optional<std::string> decode_path(std::string_view path) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out.push_back(path[i]);
      continue;
    }
    if (!is_escape(path, i)) return std::nullopt;
    const int value = hex_value(path[i + 1]) << 4 | hex_value(path[i + 2]);
    if (value < 0x20 || value == 0x7f) return std::nullopt;
    out.push_back(static_cast<char>(value));
    i += 2;
  }
  return out;
}

// Decoded once; what still looks encoded was meant to slip past somebody.
bool is_devious(std::string_view path) {
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] == '\\' || is_escape(path, i)) return true;
  }
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    if (segment == "." || segment == "..") return true;
    begin = end + 1;
  }
  return false;
}

bool is_address(std::string_view host) {
  if (host.starts_with('[')) return true;
  return !host.empty() &&
         std::ranges::all_of(host, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

// Without the port; brackets of IPv6 stay.
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.rfind(':'));
}

}  // namespace

Refused split_target(std::string_view target, HttpRequest* request) {
  // Absolute form names the host a second time; only proxies need it.
  if (!target.starts_with('/') && target != "*") return {400, "the request target must be a path"};
  const std::size_t question = std::min(target.find('?'), target.size());
  if (question < target.size()) request->query = std::string(target.substr(question + 1));
  std::optional<std::string> path = decode_path(target.substr(0, question));
  if (!path.has_value()) return {400, "the path has a broken escape"};
  if (is_devious(*path)) return {404, "no such path"};
  request->path = *std::move(path);
  return {};
}

Refused misdirected(const HttpRequest& request, const std::vector<std::string>& host_names) {
  const std::string_view host = request.field("host").value_or("");
  const std::string_view name = host_name(host);
  // Browsers always say the host.
  if (!host_names.empty() && !host.empty() && !is_address(name) && name != "localhost" &&
      std::ranges::find(host_names, name) == host_names.end()) {
    return {421, "this server does not answer to that name"};
  }
  // What a page of another site may send without asking first.
  const bool sends = request.method != "GET" && request.method != "HEAD";
  const std::optional<std::string_view> origin = request.field("origin");
  const bool foreign = origin.has_value() && !origin->ends_with("//" + std::string(host));
  const std::string_view type = request.field("content-type").value_or("");
  if (sends && foreign && !type.starts_with("application/json"))
    return {415, "requests from other sites must be application/json"};
  return {};
}

}  // namespace lockstep::gateway
