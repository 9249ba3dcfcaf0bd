// Values as people write them, beside what base/text_values.h knows.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/text_values.h"

namespace lockstep::server {

// "512KiB", "2GiB": what base/text_values.h reads back as the same size.
std::string show_bytes(std::uint64_t bytes);

Result<bool> parse_flag(std::string_view text);

// Whether only this machine reaches it.
bool is_loopback(std::string_view address);

}  // namespace lockstep::server
