// What the key of a lock says about its holder, as a JSON object that people read with any client:
//   {"holder":"billing","host":"a1","pid":4711,"reason":"nightly","since_ms":1700000000000,"count":1,"attempt":"9f…"}
// Fields that are not known are ignored; a value that is none (etcd's own clients write an empty one)
// describes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "service/context.h"

namespace lockstep::service {

// Each text; they are for people.
inline constexpr std::size_t description_text_bytes_max = 1024;

// How often a lock is held at most; nobody means more, and it is released as often.
inline constexpr std::int64_t holding_count_max = 1'000'000;

struct Description {
  std::string holder;
  std::string host;
  std::string reason;
  std::int64_t pid = 0;

  friend bool operator==(const Description&, const Description&) = default;
};

struct HolderValue {
  Description description;
  std::int64_t since_ms = 0;  // Unix time by the holder's wall clock
  std::int64_t count = 1;     // how often it is held; 0: several calls of the session wait for it
  std::string attempt;        // differs from attempt to attempt

  friend bool operator==(const HolderValue&, const HolderValue&) = default;
};

namespace errors {
Status description_wrong();  // invalid_argument: a text is too long, or no UTF-8
}  // namespace errors

Status check(const Description& description);
// What tells one attempt from another, and when it was made.
std::string new_attempt(const Context& context);
std::int64_t wall_ms(const Context& context);
std::string encode(const HolderValue& value);
HolderValue decode_holder(std::string_view text);

}  // namespace lockstep::service
