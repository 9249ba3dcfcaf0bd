// Text that people write and read: durations, addresses, escaped bytes, near misses.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/time.h"

namespace lockstep::cli {

// "250ms", "1.5s", "10m", "2h"; a unit is required except for 0.
Result<Duration> parse_duration(std::string_view text);
std::string show_duration(Duration duration);
// A latency with three digits: "1.23ms".
std::string show_latency(Duration duration);
// "512KiB", "2.0GiB".
std::string show_bytes(std::uint64_t bytes);

// "host:port,host:port"; a leading "http://" or "https://" is taken off, since etcd's users write it.
Result<std::vector<std::string>> parse_addresses(std::string_view text);

// Whole numbers, decimal; with `hex` also as etcd writes ids.
Result<std::uint64_t> parse_number(std::string_view text);
Result<std::uint64_t> parse_hex_id(std::string_view text);
std::string show_hex_id(std::uint64_t id);

// Bytes as text: printable UTF-8 stays, the rest becomes \xNN, \n, \t or \r, and a backslash \\.
// unescape() gives the same bytes back. Errors: invalid_argument for a broken escape.
std::string escape(std::string_view bytes);
Result<std::string> unescape(std::string_view text);
[[nodiscard]] bool is_plain(std::string_view bytes);  // escape() would change nothing

// The one of `names` that is probably meant; empty if none is close.
std::string nearest(std::string_view name, std::span<const std::string> names);

// How wide `text` stands on a terminal, counting each code point as one.
std::size_t width_of(std::string_view text);

}  // namespace lockstep::cli
