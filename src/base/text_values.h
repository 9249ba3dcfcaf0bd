// Values as people write them in flags and files: "1.5s", "2GiB", "host:port", "n1=host:port,n2=host:port".
//
// Pure functions. Errors: invalid_argument, saying what was written and what is expected instead.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace lockstep {

// "250ms", "1.5s", "10m", "2h"; a unit is required except for 0.
Result<Duration> parse_duration(std::string_view text);
std::string show_duration(Duration duration);

// "1048576", "512KiB", "2GiB"; decimal units (kB, MB, GB) too.
Result<std::uint64_t> parse_bytes(std::string_view text);

// A whole number, decimal.
Result<std::uint64_t> parse_number(std::string_view text);

// "host:port" or "[v6]:port"; a leading "http://" or "https://" is taken off, since etcd's users write it.
Result<std::string> parse_address(std::string_view text);
// Separated by commas; none for an empty text.
Result<std::vector<std::string>> parse_addresses(std::string_view text);

// A name and the address of its peer port: "n1=10.0.0.1:2380".
struct NamedAddress {
  std::string name;
  std::string address;
  friend bool operator==(const NamedAddress&, const NamedAddress&) = default;
};
Result<std::vector<NamedAddress>> parse_named_addresses(std::string_view text);

// The one of `names` that is probably meant; empty if none is close.
std::string nearest(std::string_view name, std::span<const std::string> names);

}  // namespace lockstep
