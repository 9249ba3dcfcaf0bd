// Base64 as JSON carries bytes: RFC 4648, section 4, with padding. Pure functions.
#pragma once

#include <string>
#include <string_view>

namespace lockstep::gateway {

// False if the text is anything else, line breaks and missing padding included.
bool decode_base64(std::string_view text, std::string* bytes);
std::string encode_base64(std::string_view bytes);

}  // namespace lockstep::gateway
