// Idempotency-Key on the recipe of service/idempotency: answers are kept in the store, so that any member,
// also after a failover, gives the first one again.
//
// A key belongs to whoever used it first: for another principal it is another request's. Keys in the store:
// "lockstep/idempotency/http/KEY".
#pragma once

#include "gateway/v1/idempotency.h"
#include "service/context.h"
#include "service/idempotency/idempotency.h"

namespace lockstep::gateway::v1 {

class StoredAnswers final : public Idempotency {
 public:
  explicit StoredAnswers(const service::Context& context) : recipe_(context) {}
  Task<Begun> begin(IdempotentRequest request, store::CallOptions options) override;
  Task<void> complete(IdempotentRequest request, std::string owner, HttpResponse response,
                      store::CallOptions options) override;
  Task<void> abandon(IdempotentRequest request, std::string owner, store::CallOptions options) override;

 private:
  service::Idempotency recipe_;
};

}  // namespace lockstep::gateway::v1
