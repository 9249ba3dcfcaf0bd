// What recipes find at their keys, where anybody may have written anything.
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "service/counter/counter.h"
#include "service/flat_json.h"
#include "service/idempotency/idempotency.h"
#include "service/ids/ids.h"
#include "service/limiter/limiter.h"
#include "service/lock/description.h"
#include "service/timer/cron.h"
#include "service/timer/values.h"

namespace {

using namespace lockstep;

// A value that is understood is written and understood again; one that is not says why.
template <class Parse, class Encode>
void round_trip(std::string_view text, Parse parse, Encode encode) {
  const auto parsed = parse(text);
  if (!parsed.ok()) {
    LS_MUST(!parsed.status().message().empty());
    return;
  }
  const auto again = parse(encode(*parsed));
  LS_MUST(again.ok());
  LS_MUST(*again == *parsed);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  round_trip(text, service::parse_counter, [](std::int64_t value) { return std::to_string(value); });
  round_trip(text, service::parse_idempotency_record,
             [](const service::IdempotencyRecord& record) { return service::encode(record); });
  round_trip(text, service::parse_idempotency_token,
             [](const service::IdempotencyToken& token) { return service::to_string(token); });
  round_trip(text, service::parse_limit,
             [](const service::LimitState& state) { return service::encode(state); });
  round_trip(text, service::parse_ids_floor, [](std::int64_t floor) { return std::to_string(floor); });
  const service::HolderValue holder = service::decode_holder(text);
  LS_MUST(service::decode_holder(service::encode(holder)) == holder);
  if (const auto json = service::FlatJson::parse(text); !json.ok()) LS_MUST(!json.status().message().empty());
  round_trip(text, service::parse_timer_clock,
             [](const service::TimerClockValue& value) { return service::encode(value); });
  round_trip(text, service::parse_timer_document,
             [](const service::TimerDocument& document) { return service::encode(document); });
  round_trip(text, service::parse_timer_pointer,
             [](const service::TimerPointer& pointer) { return service::encode(pointer); });
  round_trip(text, service::parse_timer_token,
             [](const service::TimerToken& token) { return service::to_string(token); });
  const auto cron = service::Cron::parse(text);
  if (!cron.ok()) {
    LS_MUST(!cron.status().message().empty());
    return 0;
  }
  constexpr service::Seconds now(1'800'000'000);
  const auto next = cron->next({}, now);
  if (next.has_value()) LS_MUST(*next > now);
  return 0;
}
