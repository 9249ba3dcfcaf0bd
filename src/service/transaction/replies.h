// What is sent to participants, what their answers mean, and when a call is tried again.
//
// The status alone decides: 2xx done, 409 refused (where a refusal is an outcome), 425 still going, anything
// else, and every error, unknown. Pure but for the randomness of jitter().
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/ids.h"
#include "base/status.h"
#include "base/time.h"
#include "env/http_client.h"
#include "env/random.h"
#include "service/transaction/machine.h"
#include "service/transaction/state.h"

namespace lockstep::service::transaction {

inline constexpr Duration retry_after_max = std::chrono::hours(1);

env::HttpCall request_of(const Call& call, std::string_view gid, Mode mode, std::int64_t attempt,
                         Revision token);
// "host:port" of a URL, whatever it is: one spelling for all of one, and no port where it is the usual one.
std::string host_of(std::string_view url);

struct Reply {
  enum class Kind : std::uint8_t { outcome, ongoing, failed };
  Kind kind = Kind::failed;
  Outcome outcome = Outcome::done;
  int status = 0;
  std::string output;
  std::string error;
  std::optional<Duration> retry_after;
};
Reply reply_of(const Call& call, Mode mode, const Result<env::HttpReply>& answer);

// After the `failures`-th attempt that failed, from 1; without jitter.
Duration back_off(const RetryRule& rule, std::int64_t failures);
// Within a quarter of it.
Duration jitter(Duration delay, env::Random& random);

}  // namespace lockstep::service::transaction
