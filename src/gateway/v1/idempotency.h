// What /v1 needs to let a mutation take effect once for each Idempotency-Key.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/ids.h"
#include "base/task.h"
#include "base/time.h"
#include "gateway/http.h"
#include "gateway/v1/json_text.h"
#include "gateway/v1/problem.h"
#include "store/store.h"

namespace lockstep::gateway::v1 {

inline constexpr std::size_t idempotency_key_bytes_max = 255;

struct IdempotentRequest {
  std::string user;  // who asks: the keys of one are not those of another
  std::string key;
  std::string fingerprint;  // what must be the same when it is repeated
  Duration time{};          // that it may take
  bool repeatable = false;  // done again, it does no harm
};

// The record of a first, for a handler that writes its answer in the transaction of its effect: then one is
// not without the other.
struct AnswerKeeping {
  std::string key;
  Revision revision;  // of the record while it is still the first's
  Duration keep{};
  std::function<std::string(JsonText answer)> record;  // what is written there
  bool kept = false;                                   // it was
};

class Idempotency {
 public:
  virtual ~Idempotency() = default;

  struct Begun {
    enum class State { first, done, refused };
    State state = State::refused;
    std::string owner;      // of `first`
    HttpResponse response;  // of `done`
    Problem problem;        // of `refused`
  };
  virtual Task<Begun> begin(IdempotentRequest request, store::CallOptions options) = 0;
  // Of a `first`.
  virtual std::shared_ptr<AnswerKeeping> keeping(const IdempotentRequest& request,
                                                 const std::string& owner) = 0;
  // Keeps the answer, trying again until that is certain or the options end it. An error: it is not certain.
  virtual Task<Status> complete(IdempotentRequest request, std::string owner, HttpResponse response,
                                store::CallOptions options) = 0;
  // Nothing took effect, or nothing that must not do so again: the key is free again.
  virtual Task<void> abandon(IdempotentRequest request, std::string owner, store::CallOptions options) = 0;
};

}  // namespace lockstep::gateway::v1
