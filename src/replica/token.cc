#include "replica/token.h"

#include <array>

#include "base/assert.h"
#include "base/codec.h"

namespace lockstep::replica {
namespace {

constexpr std::uint8_t version = 1;
constexpr std::size_t content_bytes = 1 + 8 + 8;
constexpr std::size_t token_bytes = content_bytes + env::Secrets::code_bytes;

constexpr std::string_view digits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";  // RFC 4648, 5

constexpr std::array<std::int8_t, 256> digit_values = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < digits.size(); ++i)
    values[static_cast<unsigned char>(digits[i])] = static_cast<std::int8_t>(i);
  return values;
}();

// Without padding. The bits left over at the end are zero.
std::string to_text(std::string_view bytes) {
  std::string text;
  std::uint32_t pending = 0;
  int bits = 0;
  for (const char byte : bytes) {
    pending = (pending << 8) | static_cast<std::uint8_t>(byte);
    for (bits += 8; bits >= 6; bits -= 6) text.push_back(digits[(pending >> (bits - 6)) & 63]);
  }
  if (bits > 0) text.push_back(digits[(pending << (6 - bits)) & 63]);
  return text;
}

std::optional<std::string> from_text(std::string_view text) {
  std::string bytes;
  std::uint32_t pending = 0;
  int bits = 0;
  for (const char digit : text) {
    const std::int8_t value = digit_values[static_cast<unsigned char>(digit)];
    if (value < 0) return std::nullopt;
    pending = (pending << 6) | static_cast<std::uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push_back(static_cast<char>(pending >> bits));
  }
  if ((pending & ((1u << bits) - 1)) != 0) return std::nullopt;  // one token has one text
  return bytes;
}

constexpr std::size_t text_bytes = (token_bytes * 8 + 5) / 6;

}  // namespace

std::string encode_token(const Token& token, std::string_view key, const env::Secrets& secrets) {
  LS_MUST(!key.empty());
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u8(version);
  encoder.u64(token.credential.value());
  encoder.u64(static_cast<std::uint64_t>(token.issued_ms));
  LS_MUST(bytes.size() == content_bytes);
  bytes += secrets.message_code(key, bytes);
  return to_text(bytes);
}

std::optional<Token> decode_token(std::string_view text, std::string_view key, const env::Secrets& secrets) {
  if (key.empty() || text.size() != text_bytes) return std::nullopt;
  const std::optional<std::string> bytes = from_text(text);
  if (!bytes.has_value() || bytes->size() != token_bytes) return std::nullopt;
  const std::string_view content = std::string_view(*bytes).substr(0, content_bytes);
  const std::string_view code = std::string_view(*bytes).substr(content_bytes);
  if (!env::Secrets::equal(secrets.message_code(key, content), code)) return std::nullopt;
  Decoder decoder(content);
  if (decoder.u8() != version) return std::nullopt;
  Token token;
  token.credential = store::CredentialId(decoder.u64());
  token.issued_ms = static_cast<std::int64_t>(decoder.u64());
  LS_MUST(decoder.done());
  return token;
}

}  // namespace lockstep::replica
