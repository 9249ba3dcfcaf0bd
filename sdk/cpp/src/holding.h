// What a guard stands for: on the strand the holding itself, off it what never changes.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "base/task.h"
#include "handle.h"
#include "lockstep/guard.h"
#include "service/lock/description.h"
#include "service/lock/guard.h"
#include "sessions.h"

namespace lockstep::v1::detail {

class Recipes;

// On the strand. Its end gives back what is held, unless all sessions end anyway.
class HeldOnStrand {
 public:
  // Repeatable: tried again after an error.
  using Release = std::function<::lockstep::Task<Status>(Recipes&, store::CallOptions)>;

  HeldOnStrand(std::weak_ptr<Runtime> runtime, SessionUse use, Release release)
      : runtime_(std::move(runtime)), use_(std::move(use)), release_(std::move(release)) {}
  HeldOnStrand(const HeldOnStrand&) = delete;
  HeldOnStrand& operator=(const HeldOnStrand&) = delete;
  ~HeldOnStrand();

  [[nodiscard]] bool released() const { return released_; }
  [[nodiscard]] const SessionUse& use() const { return use_; }
  // One at a time: what a call with an unknown outcome had sent is known to the next.
  static ::lockstep::Task<Status> release(std::shared_ptr<HeldOnStrand> self, Recipes& recipes,
                                          store::CallOptions options);

 private:
  std::weak_ptr<Runtime> runtime_;
  SessionUse use_;
  Release release_;
  bool released_ = false;
  bool releasing_ = false;
};

class Holding {
 public:
  Holding(const std::shared_ptr<Runtime>& runtime, std::string what, const service::Fence& fence,
          SessionUse use, HeldOnStrand::Release release);

  const std::string name;
  const std::string key;
  const std::int64_t token;
  const SessionId session;
  const std::stop_token over;
  const Handle<HeldOnStrand> handle;

  [[nodiscard]] service::Fence fence() const { return {key, ::lockstep::Revision(token)}; }

 private:
  Holding(const std::shared_ptr<Runtime>& runtime, std::string what, const service::Fence& fence,
          const std::shared_ptr<HeldOnStrand>& thing);
};

service::Description describe(const ClientOptions& options, std::string reason);
// `Each`: of locks or semaphores.
template <class Each>
Contender to_contender(const Each& each) {
  Contender out;
  out.holds = each.holds;
  out.session = each.session.value();
  out.token = each.token.value();
  out.holder = each.value.description.holder;
  out.host = each.value.description.host;
  out.pid = each.value.description.pid;
  out.reason = each.value.description.reason;
  out.since = std::chrono::system_clock::time_point(std::chrono::milliseconds(each.value.since_ms));
  return out;
}

}  // namespace lockstep::v1::detail
