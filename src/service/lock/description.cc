#include "service/lock/description.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>

#include "base/assert.h"
#include "service/flat_json.h"

namespace lockstep::service {
namespace {

// More than encode() makes of the longest texts, each byte escaped.
constexpr std::size_t holder_value_bytes_max = std::size_t{32} * 1024;
static_assert(holder_value_bytes_max > 3 * 6 * description_text_bytes_max + 1024);

bool is_right(const std::string& text) {
  return text.size() <= description_text_bytes_max && is_utf8(text);
}

}  // namespace

namespace errors {
Status description_wrong() {
  return {
      Code::invalid_argument,
      "lockstep: holder, host and reason are UTF-8 texts of at most 1024 bytes each, pid is not negative"};
}
}  // namespace errors

Status check(const Description& description) {
  if (is_right(description.holder) && is_right(description.host) && is_right(description.reason) &&
      description.pid >= 0) {
    return {};
  }
  return errors::description_wrong();
}

std::string new_attempt(const Context& context) {
  const std::uint64_t number = context.random.next();
  std::array<char, 16> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16);
  LS_MUST(error == std::errc());
  return {digits.data(), end};
}

std::int64_t wall_ms(const Context& context) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(context.clock.wall_now()).count();
}

std::string encode(const HolderValue& value) {
  FlatJsonWriter json;
  const Description& description = value.description;
  if (!description.holder.empty()) json.text("holder", description.holder);
  if (!description.host.empty()) json.text("host", description.host);
  if (description.pid != 0) json.number("pid", description.pid);
  if (!description.reason.empty()) json.text("reason", description.reason);
  json.number("since_ms", value.since_ms);
  json.number("count", value.count);
  if (!value.attempt.empty()) json.text("attempt", value.attempt);
  return json.str();
}

HolderValue decode_holder(std::string_view text) {
  HolderValue value;
  if (text.size() > holder_value_bytes_max) return value;
  const Result<FlatJson> json = FlatJson::parse(text);
  if (!json.ok()) return value;
  value.description.holder = json->text("holder").value_or("");
  value.description.host = json->text("host").value_or("");
  value.description.reason = json->text("reason").value_or("");
  value.description.pid = json->number("pid").value_or(0);
  value.since_ms = json->number("since_ms").value_or(0);
  const std::int64_t count = json->number("count").value_or(1);
  value.count = count < 0 ? 1 : std::min(count, holding_count_max);
  value.attempt = json->text("attempt").value_or("");
  return value;
}

}  // namespace lockstep::service
