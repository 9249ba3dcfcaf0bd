#include "gateway/v1/json_text.h"

#include "gateway/json/base64.h"
#include "gateway/v1/fields.h"

namespace lockstep::gateway::v1 {
namespace {

// How many bytes the character at the front takes; zero: it is no UTF-8.
std::size_t character_bytes(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = at(0);
  if (lead < 0x80) return 1;
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((at(i) & 0xc0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, beyond the last character.
  if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f) || (lead == 0xf0 && at(1) < 0x90) ||
      (lead == 0xf4 && at(1) > 0x8f)) {
    return 0;
  }
  return size;
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::size_t size = character_bytes(bytes);
    if (size == 0) return false;
    bytes.remove_prefix(size);
  }
  return true;
}

void append_json_string(std::string* out, std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  out->push_back('"');
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t size = character_bytes(text.substr(i));
    if (size == 0) {
      out->append("\xef\xbf\xbd");
    } else if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(text[i]);
    } else if (c < 0x20 || c == 0x7f) {
      out->append("\\u00");
      out->push_back(digits[c >> 4]);
      out->push_back(digits[c & 15]);
    } else {
      out->append(text.substr(i, size));
    }
    i += size == 0 ? 1 : size;
  }
  out->push_back('"');
}

JsonText& JsonText::bytes(std::string_view name, std::string_view value) {
  if (is_utf8(value)) return text(name, value);
  return text(std::string(name) + std::string(base64_suffix), encode_base64(value));
}

}  // namespace lockstep::gateway::v1
