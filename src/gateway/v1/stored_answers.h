// Idempotency-Key on the recipe of service/idempotency: answers are kept in the store, so that any member,
// also after a failover, gives the first one again.
//
//   1. For as long as answers are kept, a request that is not repeatable is begun once: if nobody kept its
//   answer (its member died, or the store was away for too long), repetitions hear that its outcome is
//   unknown. One that is repeatable, or keeps its answer with its effect, is begun again once its time is
//   over.
//   2. Each user has keys of its own, at "lockstep/http-answers/USER/KEY": nobody reaches another's but by a
//   permission for them, and /v1/idempotency reaches none. USER is written as key_segment() does; a long one
//   is its SHA-256.
#pragma once

#include "gateway/v1/idempotency.h"
#include "service/context.h"
#include "service/idempotency/idempotency.h"

namespace lockstep::gateway::v1 {

class StoredAnswers final : public Idempotency {
 public:
  explicit StoredAnswers(const service::Context& context);
  Task<Begun> begin(IdempotentRequest request, store::CallOptions options) override;
  std::shared_ptr<AnswerKeeping> keeping(const IdempotentRequest& request, const std::string& owner) override;
  Task<Status> complete(IdempotentRequest request, std::string owner, HttpResponse response,
                        store::CallOptions options) override;
  Task<void> abandon(IdempotentRequest request, std::string owner, store::CallOptions options) override;

 private:
  service::Context context_;
  service::Idempotency recipe_;
};

}  // namespace lockstep::gateway::v1
