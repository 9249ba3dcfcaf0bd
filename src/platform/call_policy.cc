#include "platform/call_policy.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ifaddrs.h>
#include <span>
#include <utility>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "base/assert.h"

namespace lockstep::platform {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::array<std::uint8_t, 12> compatible_prefix = {};
constexpr std::array<std::uint8_t, 12> nat64_prefix = {0, 0x64, 0xff, 0x9b};
constexpr std::array<std::uint8_t, 6> local_nat64_prefix = {0, 0x64, 0xff, 0x9b, 0, 1};           // RFC 8215
constexpr std::array<std::uint8_t, 2> six_to_four_prefix = {0x20, 0x02};                          // RFC 3056
constexpr std::array<std::uint8_t, 12> translated_prefix = {0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};  // RFC 2765
// Where a translator looks for the four bytes: at 48, 56, 64 and 96 bits (RFC 6052, 2.2; byte 8 is none).
constexpr std::array<std::array<std::uint8_t, 4>, 4> nat64_layouts = {
    {{6, 7, 9, 10}, {7, 9, 10, 11}, {9, 10, 11, 12}, {12, 13, 14, 15}}};
constexpr std::size_t host_bytes_max = 253;  // RFC 1035, 2.3.4

bool begins_with(const IpAddress& address, std::span<const std::uint8_t> prefix) {
  return std::ranges::equal(prefix, std::span(address.bytes).first(prefix.size()));
}

IpAddress mapped(const std::uint8_t* four) {
  IpAddress address;
  std::ranges::copy(mapped_prefix, address.bytes.begin());
  std::copy_n(four, 4, address.bytes.begin() + mapped_prefix.size());
  return address;
}

// A network's own translator: how long its prefix is only its operator knows, so every reading is judged. One
// that begins with 0 is the filling of another, unless all do.
std::vector<IpAddress> local_nat64_readings(const IpAddress& address) {
  std::vector<IpAddress> readings;
  for (const auto& layout : nat64_layouts) {
    std::array<std::uint8_t, 4> four{};
    std::ranges::transform(layout, four.begin(), [&](std::uint8_t at) { return address.bytes.at(at); });
    if (four.front() != 0) readings.push_back(mapped(four.data()));
  }
  if (readings.empty()) readings.push_back(mapped(address.bytes.data() + nat64_prefix.size()));
  return readings;
}

// What is meant in the end: the IPv4 address inside, if there is one. All of them have to be fit to be
// called.
std::vector<IpAddress> unwrapped(const IpAddress& address) {
  const std::span tail = std::span(address.bytes).last(4);
  if (begins_with(address, nat64_prefix) || begins_with(address, translated_prefix))
    return {mapped(tail.data())};
  if (begins_with(address, local_nat64_prefix)) return local_nat64_readings(address);
  if (begins_with(address, six_to_four_prefix))
    return {mapped(address.bytes.data() + six_to_four_prefix.size())};
  if (!begins_with(address, compatible_prefix)) return {address};
  const bool v6_itself = tail[0] == 0 && tail[1] == 0 && tail[2] == 0 && tail[3] <= 1;  // ::, ::1
  if (v6_itself) return {address};
  return {mapped(tail.data())};
}

std::string_view never_called_v4(const std::uint8_t* bytes) {
  if (bytes[0] == 0) return "unspecified";
  if (bytes[0] == 169 && bytes[1] == 254) return "link-local";
  if (bytes[0] >= 224 && bytes[0] < 240) return "a multicast address";
  if (bytes[0] >= 240) return "reserved";  // 255.255.255.255 too
  return {};
}

std::string_view never_called(const IpAddress& address) {
  if (address.is_v4()) return never_called_v4(address.bytes.data() + mapped_prefix.size());
  if (address == IpAddress{}) return "unspecified";
  if (address.bytes[0] == 0xff) return "a multicast address";
  if (address.bytes[0] == 0xfe && (address.bytes[1] & 0xc0) == 0x80) return "link-local";
  return {};
}

// Of clouds whose metadata is not link-local: Alibaba, Azure, AWS by IPv6.
bool is_metadata(const IpAddress& address) {
  return std::ranges::any_of(std::array{"100.100.100.200", "168.63.129.16", "fd00:ec2::254"},
                             [&](const char* text) { return parse_ip_address(text) == address; });
}

// Asked anew each time: addresses come and go, and this is asked for this server's own ports only.
bool is_of_this_machine(const IpAddress& address) {
  ifaddrs* first = nullptr;
  if (::getifaddrs(&first) != 0) return false;
  bool found = false;
  for (const ifaddrs* one = first; one != nullptr && !found; one = one->ifa_next)
    found = one->ifa_addr != nullptr && ip_address_of(one->ifa_addr) == address;
  ::freeifaddrs(first);
  return found;
}

bool is_loopback(const IpAddress& address) {
  if (address.is_v4()) return address.bytes[12] == 127;
  IpAddress loopback;
  loopback.bytes.back() = 1;
  return address == loopback;
}

std::string host_name(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  std::string name(text);
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return name;
}

bool is_host_name(std::string_view name) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= host_bytes_max && std::ranges::all_of(name, good) &&
         !name.starts_with('.') && !name.contains("..");
}

Status refuse(std::string why) {
  return {Code::permission_denied, std::move(why)};
}

}  // namespace

bool IpAddress::is_v4() const {
  return begins_with(*this, mapped_prefix);
}

std::string IpAddress::to_string() const {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool v4 = is_v4();
  const std::uint8_t* from = bytes.data() + (v4 ? mapped_prefix.size() : 0);
  LS_MUST(::inet_ntop(v4 ? AF_INET : AF_INET6, from, text.data(), text.size()) != nullptr);
  return text.data();
}

std::optional<IpAddress> parse_ip_address(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  const std::string terminated(text);
  std::array<std::uint8_t, 4> v4{};
  if (::inet_pton(AF_INET, terminated.c_str(), v4.data()) == 1) return mapped(v4.data());
  IpAddress v6;
  if (::inet_pton(AF_INET6, terminated.c_str(), v6.bytes.data()) == 1) return v6;
  return std::nullopt;
}

std::optional<IpAddress> ip_address_of(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &v4.sin_addr, bytes.size());
    return mapped(bytes.data());
  }
  if (address->sa_family != AF_INET6) return std::nullopt;
  sockaddr_in6 v6{};
  std::memcpy(&v6, address, sizeof v6);
  IpAddress result;
  std::memcpy(result.bytes.data(), &v6.sin6_addr, result.bytes.size());
  return result;
}

std::uint16_t port_of(const sockaddr* address) {
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  if (address->sa_family != AF_INET && address->sa_family != AF_INET6) return 0;
  sockaddr_in v4{};
  std::memcpy(&v4, address, sizeof(sockaddr));
  return ntohs(v4.sin_port);
}

bool CallPolicy::Range::contains(const IpAddress& address) const {
  const std::size_t whole = static_cast<std::size_t>(bits) / 8;
  if (!begins_with(address, std::span(network.bytes).first(whole))) return false;
  if (bits % 8 == 0) return true;
  const int mask = 0xff & (0xff00 >> (bits % 8));
  return (address.bytes.at(whole) & mask) == (network.bytes.at(whole) & mask);
}

Result<CallPolicy::Range> CallPolicy::parse_range(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::optional<IpAddress> address = parse_ip_address(text.substr(0, slash));
  if (!address) return Status(Code::invalid_argument, fmt::format("'{}' has no address before '/'", text));
  Range range{*address, 128};
  if (slash == std::string_view::npos) return range;
  const std::string_view number = text.substr(slash + 1);
  const int bits_max = address->is_v4() ? 32 : 128;
  int bits = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), bits);
  if (error != std::errc() || end != number.data() + number.size() || bits < 0 || bits > bits_max)
    return Status(Code::invalid_argument, fmt::format("'{}': 0 to {} may stand after '/'", text, bits_max));
  range.bits = bits + 128 - bits_max;
  IpAddress network;
  for (int bit = 0; bit < range.bits; ++bit) {
    const auto byte = static_cast<std::size_t>(bit) / 8;
    network.bytes.at(byte) |= range.network.bytes.at(byte) & (0x80 >> (bit % 8));
  }
  if (network != range.network)
    return Status(Code::invalid_argument, fmt::format("'{}' has bits set behind its length: {}/{} is meant?",
                                                      text, network.to_string(), bits));
  return range;
}

Result<CallPolicy> CallPolicy::create(const std::vector<std::string>& allow, bool allow_loopback,
                                      std::vector<std::uint16_t> own_ports) {
  CallPolicy policy;
  policy.own_ports_ = std::move(own_ports);
  policy.allow_loopback_ = allow_loopback;
  for (const std::string& entry : allow) {
    if (entry.contains('/') || parse_ip_address(entry)) {
      LS_ASSIGN_OR_RETURN(const Range range, parse_range(entry));
      policy.ranges_.push_back(range);
      continue;
    }
    const bool below = entry.starts_with("*.");
    std::string name = host_name(std::string_view(entry).substr(below ? 2 : 0));
    if (!is_host_name(name))
      return Status(
          Code::invalid_argument,
          fmt::format("'{}' is neither a host (hooks.example.com, *.example.com) nor an address or a range "
                      "(10.1.0.0/16)",
                      entry));
    policy.hosts_.push_back({std::move(name), below});
  }
  return policy;
}

bool CallPolicy::names(std::string_view host) const {
  if (hosts_.empty()) return false;
  const std::string name = host_name(host);
  return std::ranges::any_of(hosts_, [&](const HostPattern& pattern) {
    return pattern.below ? name.ends_with("." + pattern.name) : name == pattern.name;
  });
}

Status CallPolicy::judge(std::string_view host, const IpAddress& address, std::uint16_t port) const {
  for (const IpAddress& real : unwrapped(address)) LS_RETURN_IF_ERROR(judge_unwrapped(host, real, port));
  return {};
}

Status CallPolicy::judge_unwrapped(std::string_view host, const IpAddress& real, std::uint16_t port) const {
  if (const std::string_view kind = never_called(real); !kind.empty())
    return refuse(fmt::format("{} is {}: such addresses are never called", real.to_string(), kind));
  const bool listed_itself = std::ranges::any_of(
      ranges_, [&](const Range& range) { return range.bits == 128 && range.network == real; });
  if (is_metadata(real) && !listed_itself)
    return refuse(fmt::format(
        "{} is a cloud's metadata service: not unless --callouts-allow has this address", real.to_string()));
  if (std::ranges::find(own_ports_, port) != own_ports_.end() && !listed_itself &&
      (is_loopback(real) || is_of_this_machine(real)))
    return refuse(
        fmt::format("{} port {} is this server itself: not unless --callouts-allow has this address",
                    real.to_string(), port));
  if (is_loopback(real) && !allow_loopback_)
    return refuse(fmt::format("{} is this machine itself: not without --callouts-allow-loopback true",
                              real.to_string()));
  if (ranges_.empty() && hosts_.empty()) return {};
  if (names(host)) return {};
  if (std::ranges::any_of(ranges_, [&](const Range& range) { return range.contains(real); })) return {};
  return refuse(fmt::format("{} ({}) is not in --callouts-allow", host, real.to_string()));
}

Status CallPolicy::judge_host(std::string_view host) const {
  if (const std::optional<IpAddress> address = parse_ip_address(host)) return judge(host, *address);
  if (!ranges_.empty() || hosts_.empty() || names(host)) return {};
  return refuse(fmt::format("{} is not in --callouts-allow", host));
}

}  // namespace lockstep::platform
