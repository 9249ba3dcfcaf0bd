// Text that people write and read beside what base/text_values.h knows: ids, latencies, escaped bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/text_values.h"
#include "base/time.h"

namespace lockstep::cli {

// A latency with three digits: "1.23ms".
std::string show_latency(Duration duration);
// "512KiB", "2.0GiB".
std::string show_bytes(std::uint64_t bytes);

// As etcd writes ids.
Result<std::uint64_t> parse_hex_id(std::string_view text);
std::string show_hex_id(std::uint64_t id);

// Bytes as text: printable UTF-8 stays, the rest becomes \xNN, \n, \t or \r, and a backslash \\.
// unescape() gives the same bytes back. Errors: invalid_argument for a broken escape.
std::string escape(std::string_view bytes);
Result<std::string> unescape(std::string_view text);
[[nodiscard]] bool is_plain(std::string_view bytes);  // escape() would change nothing

// How wide `text` stands on a terminal, counting each code point as one.
std::size_t width_of(std::string_view text);

}  // namespace lockstep::cli
