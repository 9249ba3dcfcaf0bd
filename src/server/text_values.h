// Values as people write them: "1.5s", "2GiB", "host:port", "n1=host:port,n2=host:port".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"
#include "server/options.h"

namespace lockstep::server {

// "250ms", "1.5s", "10m", "2h"; a unit is required except for 0.
Result<Duration> parse_duration(std::string_view text);
std::string show_duration(Duration duration);

// "1048576", "512KiB", "2GiB"; decimal units (kB, MB, GB) too.
Result<std::uint64_t> parse_bytes(std::string_view text);
std::string show_bytes(std::uint64_t bytes);

Result<std::uint64_t> parse_count(std::string_view text);
Result<bool> parse_flag(std::string_view text);

// "host:port" or "[v6]:port"; a leading "http://" or "https://" is taken off, since etcd's users write it.
Result<std::string> parse_address(std::string_view text);
Result<std::vector<std::string>> parse_addresses(std::string_view text);
Result<std::vector<NamedAddress>> parse_named_addresses(std::string_view text);

// Whether only this machine reaches it.
bool is_loopback(std::string_view address);

}  // namespace lockstep::server
