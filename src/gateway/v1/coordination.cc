#include "gateway/v1/coordination.h"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "service/names.h"

namespace lockstep::gateway::v1 {
namespace {

constexpr std::size_t session_digits_max = 16;
constexpr std::string_view root = "/v1/";

// "/v1/locks/acquire" belongs to "locks".
std::string family_of(const std::string& path) {
  LS_MUST(path.starts_with(root));
  return path.substr(root.size(), path.find('/', root.size()) - root.size());
}

Route route(std::string method, std::string path, std::string summary) {
  Route made;
  made.method = std::move(method);
  made.tag = family_of(path);
  made.path = std::move(path);
  made.summary = std::move(summary);
  made.mutates = made.method != "GET";
  return made;
}

}  // namespace

Routes Coordination::routes() {
  Routes all;
  for (const auto family :
       {lock_routes, semaphore_routes, election_routes, latch_routes, barrier_routes, session_routes,
        counter_routes, id_routes, limit_routes, timer_routes, topic_routes, transaction_routes,
        transaction_edit_routes, idempotency_routes, simple_routes}) {
    Routes routes = family(*this);
    std::ranges::move(routes, std::back_inserter(all));
  }
  return all;
}

Route post(Coordination& recipes, std::string path, std::string summary, RecipeHandler handler) {
  Route made = route("POST", std::move(path), std::move(summary));
  made.handler = [&recipes, handler](Call call) { return handler(&recipes, std::move(call)); };
  return made;
}

Route get(Coordination& recipes, std::string path, std::string summary, RecipeHandler handler) {
  Route made = route("GET", std::move(path), std::move(summary));
  made.handler = [&recipes, handler](Call call) { return handler(&recipes, std::move(call)); };
  return made;
}

Route stream(Coordination& recipes, std::string path, std::string summary, RecipeStream handler) {
  Route made = route("GET", std::move(path), std::move(summary));
  made.stream = [&recipes, handler](Call call, EventSink& sink) {
    return handler(&recipes, std::move(call), &sink);
  };
  return made;
}

Field name_field(std::string meaning) {
  return bytes_field("name", std::move(meaning)).required().between(1, service::name_bytes_max);
}

Field lock_name_field() {
  return name_field("the lock's name").not_reserved();
}

Field lock_mode_field() {
  return text_field("mode", "exclusive if absent").one_of({"exclusive", "shared"});
}

service::LockMode lock_mode_of(const Call& call) {
  return call.arguments.text("mode") == "shared" ? service::LockMode::shared : service::LockMode::exclusive;
}

std::string_view lock_mode_text(service::LockMode mode) {
  return mode == service::LockMode::shared ? "shared" : "exclusive";
}

std::string lock_key_of(const Call& call, LeaseId session) {
  const bool shared = lock_mode_of(call) == service::LockMode::shared;
  return service::contender_key(call.arguments.text("name") + (shared ? "/r" : ""), session);
}

Field ttl_field(std::string meaning) {
  using std::chrono::milliseconds;
  return integer_field("ttl_ms", std::move(meaning))
      .between(milliseconds(std::chrono::duration_cast<milliseconds>(service::session_ttl_min)).count(),
               milliseconds(std::chrono::duration_cast<milliseconds>(service::session_ttl_max)).count());
}

Field lock_delay_field(std::string meaning) {
  constexpr auto most = std::chrono::duration_cast<std::chrono::milliseconds>(service::lock_delay_max);
  return integer_field("lock_delay_ms", std::move(meaning)).between(0, most.count());
}

Field session_field(std::string meaning) {
  return text_field("session", std::move(meaning)).between(1, session_digits_max);
}

std::string session_text(LeaseId session) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (auto rest = static_cast<std::uint64_t>(session.value()); rest != 0; rest /= 16)
    text.insert(text.begin(), digits[rest % 16]);
  return text;
}

Result<LeaseId> session_of(const Call& call, std::string_view field) {
  const std::string& text = call.arguments.text(field);
  if (text.empty()) return LeaseId();
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (failed != std::errc() || end != text.data() + text.size() || number == 0 || number >> 63U != 0)
    return Status(Code::invalid_argument, "a session is a hexadecimal number above 0 and below 2^63");
  return LeaseId(static_cast<std::int64_t>(number));
}

std::int64_t milliseconds_until(Coordination& recipes, TimePoint when) {
  const Duration left = std::max(when - recipes.context.clock.now(), Duration::zero());
  return std::chrono::floor<std::chrono::milliseconds>(left).count();
}

Problem wrong_field(std::string_view field, std::string_view why) {
  const std::string pointer = "/" + std::string(field);
  Problem problem = make_problem("invalid_request", pointer + ": " + std::string(why));
  problem.pointer = pointer;
  return problem;
}

}  // namespace lockstep::gateway::v1
