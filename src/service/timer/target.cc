#include "service/timer/target.h"

#include <algorithm>
#include <charconv>
#include <string>

#include "service/timer/timers.h"

namespace lockstep::service {
namespace {

Status wrong(std::string_view what) {
  return {Code::invalid_argument, "timer: the target " + std::string(what)};
}

bool is_port(std::string_view text) {
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port >= 1 && port <= 65'535;
}

bool is_host_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_';
}

bool is_v6_byte(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.';
}

}  // namespace

Status check_timer_target(std::string_view target) {
  if (target.size() > timer_target_bytes_max) return wrong("is longer than 2048 bytes");
  const auto visible = [](char c) { return c > ' ' && c <= '~'; };
  if (!std::ranges::all_of(target, visible))
    return wrong("has a byte that a URL cannot have: escape it as %XX");
  std::string_view rest = target;
  if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else {
    return wrong("begins neither with http:// nor with https://");
  }
  if (rest.contains('#')) return wrong("has a fragment, which nobody would be sent");
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  if (authority.contains('@'))
    return wrong("holds a user or a password: it would lie in the store for all to read");
  const bool v6 = authority.starts_with('[');
  const std::size_t host_end = v6 ? authority.find(']') : authority.find(':');
  if (v6 && host_end == std::string_view::npos) return wrong("has no ']' behind its address");
  const std::string_view host = v6 ? authority.substr(1, host_end - 1) : authority.substr(0, host_end);
  if (host.empty()) return wrong("names no host");
  if (!std::ranges::all_of(host, v6 ? is_v6_byte : is_host_byte)) return wrong("has a host that is none");
  const std::string_view behind =
      host_end == std::string_view::npos ? std::string_view{} : authority.substr(host_end + (v6 ? 1 : 0));
  if (!behind.empty() && (!behind.starts_with(':') || !is_port(behind.substr(1))))
    return wrong("has a port that is none: 1 to 65535");
  return {};
}

}  // namespace lockstep::service
