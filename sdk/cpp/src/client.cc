#include "lockstep/client.h"

#include "call.h"
#include "recipes.h"

namespace lockstep::v1 {

Outcome<Client> Client::make(const ClientOptions& options) {
  auto world = detail::network_world(options);
  if (!world.ok()) return detail::to_error(world.status());
  return Client(std::make_shared<detail::Runtime>(*std::move(world), options));
}

Client::Client(const ClientOptions& options) : Client(make(options).value()) {}

Client& Client::operator=(Client&& other) noexcept {
  if (this != &other) {
    close();
    runtime_ = std::move(other.runtime_);
  }
  return *this;
}

Client::~Client() {
  close();
}

void Client::close() {
  if (runtime_ != nullptr) runtime_->close();
}

detail::Runtime& detail::runtime_of(const Client& client) {
  if (client.runtime_ == nullptr) throw std::logic_error("lockstep: this client was moved from");
  return *client.runtime_;
}

}  // namespace lockstep::v1
