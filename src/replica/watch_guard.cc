#include "replica/watch_guard.h"

#include <string>
#include <utility>
#include <vector>

#include "base/assert.h"

namespace lockstep::replica {

class WatchGuard::Guarded final : public store::Subscription {
 public:
  Guarded(std::shared_ptr<Shared> shared, std::unique_ptr<store::Subscription> inner,
          const store::WatchRequest& request, store::Principal principal)
      : shared_(std::move(shared)),
        inner_(std::move(inner)),
        key_(request.key),
        range_end_(request.range_end),
        principal_(principal),
        number_(++shared_->last_number),
        checked_(shared_->machine->auth().version()) {
    shared_->subscriptions.emplace(number_, this);
  }
  ~Guarded() override { shared_->subscriptions.erase(number_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  std::optional<store::WatchResponse> next(std::size_t bytes_max) override {
    judge();
    if (inner_ != nullptr) return inner_->next(bytes_max);
    if (std::exchange(told_, true)) return std::nullopt;
    store::WatchResponse response;
    if (shared_->machine != nullptr) response.header.revision = shared_->machine->revision();
    response.canceled = true;
    response.cancel_reason = refused_.message();
    return response;
  }
  void notify_when_ready(std::move_only_function<void()> ready) override {
    if (inner_ == nullptr) {
      if (!told_) ready();
      return;
    }
    ready_ = std::move(ready);
    inner_->notify_when_ready([this] { wake(); });
  }
  void request_progress() override {
    if (inner_ != nullptr) inner_->request_progress();
  }

  // False once there is nothing more to deliver.
  bool judge() {
    if (inner_ == nullptr) return false;
    if (shared_->machine == nullptr || checked_ == shared_->machine->auth().version()) return true;
    checked_ = shared_->machine->auth().version();
    refused_ = shared_->machine->authoriser(principal_).check_read(key_, range_end_);
    if (refused_.ok()) return true;
    inner_.reset();
    return false;
  }
  void wake() {
    if (ready_) std::exchange(ready_, nullptr)();
  }

 private:
  std::shared_ptr<Shared> shared_;
  std::unique_ptr<store::Subscription> inner_;  // null once refused
  std::string key_;
  std::string range_end_;
  store::Principal principal_;
  std::uint64_t number_;
  std::pair<store::AuthRevision, bool> checked_;
  Status refused_;
  bool told_ = false;
  std::move_only_function<void()> ready_;
};

WatchGuard::WatchGuard() = default;

WatchGuard::~WatchGuard() {
  shared_->machine = nullptr;
}

std::unique_ptr<store::Subscription> WatchGuard::wrap(std::unique_ptr<store::Subscription> inner,
                                                      const store::WatchRequest& request,
                                                      store::Principal principal) {
  LS_MUST(shared_->machine != nullptr);
  return std::make_unique<Guarded>(shared_, std::move(inner), request, principal);
}

void WatchGuard::check() {
  LS_MUST(shared_->machine != nullptr);
  if (checked_ == shared_->machine->auth().version()) return;
  checked_ = shared_->machine->auth().version();
  std::vector<std::uint64_t> refused;
  for (const auto& [number, subscription] : shared_->subscriptions) {
    if (!subscription->judge()) refused.push_back(number);
  }
  // Whoever is told may end other subscriptions, or this.
  const std::shared_ptr<Shared> shared = shared_;
  for (const std::uint64_t number : refused) {
    const auto found = shared->subscriptions.find(number);
    if (found != shared->subscriptions.end()) found->second->wake();
  }
}

}  // namespace lockstep::replica
