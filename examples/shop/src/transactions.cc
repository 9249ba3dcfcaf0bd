#include "transactions.h"

#include <algorithm>
#include <httplib.h>
#include <sstream>
#include <thread>

namespace shop {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds pause(50);
constexpr milliseconds connect_patience(1000);
// A member that hangs is left after that: whatever it was asked is asked again elsewhere.
constexpr milliseconds answer_patience(4000);

milliseconds until(Clock::time_point deadline) {
  return std::max(milliseconds(1), std::chrono::duration_cast<milliseconds>(deadline - Clock::now()));
}

// An end that this answer tells of.
End end_of(const httplib::Result& result) {
  if (!result || result->status >= 300) return End::unknown;
  const auto body = nlohmann::json::parse(result->body, nullptr, false);
  const std::string state = body.is_object() ? body.value("state", "") : "";
  if (state == "committed") return End::committed;
  return state == "aborted" || state == "failed" ? End::not_committed : End::unknown;
}

End ask(const std::string& endpoint, const nlohmann::json& request, milliseconds patience) {
  const milliseconds wait = std::min(patience, answer_patience);
  httplib::Client node("http://" + endpoint);
  node.set_tcp_nodelay(true);
  node.set_connection_timeout(std::min(wait, connect_patience));
  node.set_read_timeout(wait + milliseconds(500));
  nlohmann::json body = request;
  body["wait_ms"] = wait.count();
  return end_of(node.Post("/v1/transactions", body.dump(), "application/json"));
}

}  // namespace

Transactions::Transactions(const std::string& endpoints) {
  std::istringstream in(endpoints);
  for (std::string endpoint; std::getline(in, endpoint, ',');) endpoints_.push_back(endpoint);
}

End Transactions::run(const std::string& gid, const std::string& mode, const nlohmann::json& document,
                      milliseconds patience) const {
  nlohmann::json request = document;
  request["gid"] = gid;
  request["mode"] = mode;
  const auto deadline = Clock::now() + patience;
  for (std::size_t attempt = 0;; ++attempt) {
    const End end = ask(endpoints_[attempt % endpoints_.size()], request, until(deadline));
    if (end != End::unknown || Clock::now() >= deadline) return end;
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace shop
