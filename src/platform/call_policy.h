// Which addresses of other people's services may be called: judged by the host of the URL and by the address
// that is really connected to, so that no name can lead anywhere else.
//
// Never: link-local (the metadata services of clouds live there), multicast, unspecified, broadcast and
// reserved addresses, also where they are wrapped into an IPv6 address (mapped, compatible, NAT64).
// This machine's own ports, and where clouds keep their metadata beside the link-local addresses: only if the
// list has that very address. Loopback: only if said so. Anything else: if the list is empty, or has the host
// or the address. Immutable; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

struct sockaddr;

namespace lockstep::platform {

// IPv4 as ::ffff:a.b.c.d.
struct IpAddress {
  std::array<std::uint8_t, 16> bytes{};
  [[nodiscard]] bool is_v4() const;
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const IpAddress&, const IpAddress&) = default;
};

// "127.0.0.1", "::1", "[::1]"; nothing for any other text.
std::optional<IpAddress> parse_ip_address(std::string_view text);
// Nothing for families other than IPv4 and IPv6.
std::optional<IpAddress> ip_address_of(const sockaddr* address);
std::uint16_t port_of(const sockaddr* address);  // likewise zero

class CallPolicy {
 public:
  // Each entry is a host ("hooks.example.com"), all hosts below one ("*.example.com"), an address or a range
  // of addresses ("10.1.0.0/16", "2001:db8::/32"). Errors: invalid_argument names the entry.
  // `own_ports`: those that this server listens on.
  static Result<CallPolicy> create(const std::vector<std::string>& allow, bool allow_loopback,
                                   std::vector<std::uint16_t> own_ports = {});
  CallPolicy() = default;

  // permission_denied, with the reason, if `host` at this address may not be called.
  // `port` zero: not known.
  [[nodiscard]] Status judge(std::string_view host, const IpAddress& address, std::uint16_t port = 0) const;
  // What can be said before the name is resolved; ok: nothing yet.
  [[nodiscard]] Status judge_host(std::string_view host) const;

 private:
  [[nodiscard]] Status judge_unwrapped(std::string_view host, const IpAddress& real,
                                       std::uint16_t port) const;
  struct Range {
    IpAddress network;
    int bits = 128;  // of the 128
    [[nodiscard]] bool contains(const IpAddress& address) const;
  };
  struct HostPattern {
    std::string name;    // lower case, no dot at its end
    bool below = false;  // what ends with "." and it
  };
  static Result<Range> parse_range(std::string_view text);
  [[nodiscard]] bool names(std::string_view host) const;

  std::vector<Range> ranges_;
  std::vector<HostPattern> hosts_;
  std::vector<std::uint16_t> own_ports_;
  bool allow_loopback_ = false;
};

}  // namespace lockstep::platform
