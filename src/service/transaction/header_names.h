// Which headers a transaction's author may set on its calls: one rule for every language of definitions.
//
//   1. A name is letters, digits and '-'. Not '_' either, though HTTP knows it: gateways of CGI's kind hand
//      `Lockstep_Branch` to a participant under the very name of `Lockstep-Branch`.
//   2. None of those that say which call it is, and none that belong to the connection: with those an author
//      could forge a call of another branch, or have a proxy take ours away (`Connection: Lockstep-Token`).
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

namespace lockstep::service::transaction {

inline constexpr std::size_t header_name_bytes_max = 128;

inline bool is_header_name(std::string_view name) {
  const auto fits = [](char letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9') || letter == '-';
  };
  return !name.empty() && name.size() <= header_name_bytes_max && std::ranges::all_of(name, fits);
}

inline std::string lower_case_header(std::string_view given) {
  std::string name(given);
  std::ranges::transform(name, name.begin(), [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  });
  return name;
}

// Whatever its case. Content-Type is the author's.
inline bool is_reserved_header(std::string_view given) {
  static constexpr std::array<std::string_view, 11> reserved{
      "idempotency-key",  "host",       "content-length", "transfer-encoding",
      "connection",       "keep-alive", "expect",         "upgrade",
      "proxy-connection", "te",         "trailer"};
  const std::string name = lower_case_header(given);
  return name.starts_with("lockstep-") || std::ranges::find(reserved, name) != reserved.end();
}

// Whether one of a stored definition is sent: rules that were looser took it. Whatever a gateway could hand
// on as one of ours is left out even so.
inline bool may_send_stored_header(std::string_view given) {
  constexpr std::string_view signs = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2
  const auto fits = [&](char letter) {
    return is_header_name(std::string_view(&letter, 1)) || signs.find(letter) != std::string_view::npos;
  };
  std::string name(given);
  std::ranges::replace(name, '_', '-');
  return !name.empty() && std::ranges::all_of(given, fits) && !is_reserved_header(name);
}

}  // namespace lockstep::service::transaction
