#include "rpc/health.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/assert.h"

namespace lockstep::rpc {
namespace {

constexpr char service_tag = 0x0a;              // field 1, length-delimited
constexpr char status_tag = 0x08;               // field 1, varint
constexpr std::size_t service_bytes_max = 127;  // one byte of length; longer names are nobody's

// HealthCheckRequest{string service = 1}. Nothing if it is something else.
std::optional<std::string_view> decode_service(std::string_view message) {
  if (message.empty()) return message;
  if (message.size() < 2 || message[0] != service_tag) return std::nullopt;
  const auto size = static_cast<unsigned char>(message[1]);
  if (size > service_bytes_max || message.size() != 2U + size) return std::nullopt;
  return message.substr(2);
}

const GrpcStatus not_understood{GrpcCode::invalid_argument, "not a HealthCheckRequest"};

}  // namespace

class HealthService::Watcher final : public ServerStreamHandler {
 public:
  Watcher(std::shared_ptr<HealthService> health, ServerCallPtr call)
      : health_(std::move(health)), call_(std::move(call)) {
    health_->watchers_.push_back(this);
  }
  ~Watcher() override { std::erase(health_->watchers_, this); }

  void on_message(std::string_view message) override {
    if (service_.has_value()) return call_->finish(not_understood);
    const std::optional<std::string_view> service = decode_service(message);
    if (!service.has_value()) return call_->finish(not_understood);
    service_ = std::string(*service);
    tell();
  }
  void on_half_close() override {
    if (!service_.has_value()) call_->finish(not_understood);
  }
  void on_cancelled() override {}

  void tell() {
    if (!service_.has_value()) return;
    const Serving now = health_->status_of(*service_);
    if (told_ == now) return;
    told_ = now;
    call_->send(encode(now));
  }

 private:
  std::shared_ptr<HealthService> health_;
  ServerCallPtr call_;
  std::optional<std::string> service_;
  std::optional<Serving> told_;
};

void HealthService::register_with(const std::shared_ptr<HealthService>& health, ServiceRegistry& registry) {
  registry.unary(
      "/grpc.health.v1.Health/Check",
      [health](const ServerCallPtr& call, std::string_view request) { health->check(call, request); });
  registry.streaming("/grpc.health.v1.Health/Watch", [health](ServerCallPtr call) {
    return std::make_unique<Watcher>(health, std::move(call));
  });
}

HealthService::Serving HealthService::status_of(std::string_view service) const {
  const auto found = serving_.find(service);
  if (found == serving_.end()) return Serving::service_unknown;
  return found->second && !shutting_down_ ? Serving::serving : Serving::not_serving;
}

std::string HealthService::encode(Serving status) {
  return {status_tag, static_cast<char>(status)};
}

void HealthService::check(const ServerCallPtr& call, std::string_view request) const {
  const std::optional<std::string_view> service = decode_service(request);
  if (!service.has_value()) return call->finish(not_understood);
  const Serving status = status_of(*service);
  if (status == Serving::service_unknown) return call->finish({GrpcCode::not_found, "unknown service"});
  call->respond(encode(status));
}

void HealthService::set_serving(std::string_view service, bool serving) {
  serving_.insert_or_assign(std::string(service), serving);
  for (Watcher* watcher : watchers_) watcher->tell();
}

void HealthService::set_shutting_down() {
  shutting_down_ = true;
  for (Watcher* watcher : watchers_) watcher->tell();
}

}  // namespace lockstep::rpc
