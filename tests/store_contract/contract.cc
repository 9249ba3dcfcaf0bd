#include "contract.h"

#include <iostream>

namespace lockstep::store_contract {

using store::Store;

std::string StoreContract::key(std::string_view name) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  std::string key = std::string("contract/") + test->name() + "/";
  key += name;
  return key;
}

std::string StoreContract::end_of(std::string prefix) {
  ++prefix.back();  // the suite's own keys end in ASCII
  return prefix;
}

Revision StoreContract::put(const std::string& name, const std::string& value, LeaseId lease) {
  return must(call(&Store::put, {.key = key(name), .value = value, .lease = lease})).header.revision;
}

Revision StoreContract::remove(const std::string& name) {
  return must(call(&Store::delete_range, {.key = key(name)})).header.revision;
}

std::optional<store::KeyValue> StoreContract::get(const std::string& name, Revision revision) {
  store::RangeResponse response = must(call(&Store::range, {.key = key(name), .revision = revision}));
  EXPECT_LE(response.kvs.size(), 1u);
  if (response.kvs.empty()) return std::nullopt;
  return std::move(response.kvs[0]);
}

std::string StoreContract::value(const std::string& name) {
  const auto found = get(name);
  return found.has_value() ? found->value : "(none)";
}

store::RangeResponse StoreContract::list(const std::string& prefix) {
  return must(call(&Store::range, {.key = key(prefix), .range_end = end_of(key(prefix))}));
}

store::RangeRequest StoreContract::everything() {
  return {.key = key(""), .range_end = end_of(key(""))};
}

std::string StoreContract::names_of(store::RangeRequest request) {
  std::string all;
  for (const store::KeyValue& kv : must(call(&Store::range, std::move(request))).kvs) {
    all += (all.empty() ? "" : " ") + kv.key.substr(key("").size());
  }
  return all;
}

bool StoreContract::holds(store::Compare compare) {
  store::TxnRequest request;
  request.compare.push_back(std::move(compare));
  return must(call(&Store::txn, std::move(request))).succeeded;
}

Revision StoreContract::revision() {
  return must(call(&Store::range, {.key = key("none")})).header.revision;
}

LeaseId StoreContract::grant(Duration ttl) {
  return must(call(&Store::lease_grant, {.ttl = ttl})).id;
}

StoreContract::Codes StoreContract::mutate_in_every_way(const store::CallOptions& options) {
  store::TxnRequest txn;
  txn.success.push_back({store::PutRequest{.key = key("by txn"), .value = "x"}});
  Codes codes;
  codes.emplace_back("put", call(&Store::put, {.key = key("by put")}, options).status().code());
  codes.emplace_back("delete_range",
                     call(&Store::delete_range, {.key = key("kept")}, options).status().code());
  codes.emplace_back("txn", call(&Store::txn, txn, options).status().code());
  codes.emplace_back("compact", call(&Store::compact, {.revision = Revision(1)}, options).status().code());
  codes.emplace_back("lease_grant", call(&Store::lease_grant, {.ttl = 1h}, options).status().code());
  codes.emplace_back("lease_revoke", call(&Store::lease_revoke, {LeaseId(404)}, options).status().code());
  codes.emplace_back("lease_keep_alive",
                     call(&Store::lease_keep_alive, {LeaseId(404)}, options).status().code());
  codes.emplace_back("alarm", call(&Store::alarm, {}, options).status().code());
  return codes;
}

StoreContract::Codes StoreContract::read_in_every_way(const store::CallOptions& options) {
  Codes codes;
  codes.emplace_back("range", call(&Store::range, {.key = key("kept")}, options).status().code());
  codes.emplace_back(
      "serializable range",
      call(&Store::range, {.key = key("kept"), .serializable = true}, options).status().code());
  codes.emplace_back("lease_time_to_live",
                     call(&Store::lease_time_to_live, {LeaseId(404)}, options).status().code());
  codes.emplace_back("lease_leases", call(&Store::lease_leases, options).status().code());
  return codes;
}

bool StoreContract::promised(bool capability, std::string_view name) const {
  if (!capability) std::cout << "[  LACKS   ] " << GetParam().name << " does not promise: " << name << "\n";
  return capability;
}

store::Capabilities StoreContract::capabilities() {
  store::Capabilities result;
  world_->on_strand([&] { result = world_->store().capabilities(); });
  return result;
}

void StoreContract::pass(Duration time) {
  const TimePoint end = world_->now() + time;
  if (!world_->run_until([&] { return world_->now() >= end; })) throw std::runtime_error("time stands still");
}

Watching::Watching(StoreUnderTest& world, store::WatchRequest request) : world_(world) {
  Status status;
  world_.on_strand([&] {
    auto watching = world_.store().watch(std::move(request));
    status = watching.status();
    if (watching.ok()) subscription_ = *std::move(watching);
  });
  if (!status.ok()) throw std::runtime_error("watch: " + status.to_string());
}

Watching::~Watching() {
  world_.on_strand([&] { subscription_.reset(); });
}

store::WatchResponse Watching::next(std::size_t bytes_max) {
  // Asks again only when told to: a notification that is forgotten shows as an answer that never comes.
  auto told = std::make_shared<bool>(true);
  std::optional<store::WatchResponse> answer;
  const bool came = world_.run_until([&] {
    if (!std::exchange(*told, false)) return false;
    answer = subscription_->next(bytes_max);
    if (!answer.has_value()) subscription_->notify_when_ready([told] { *told = true; });
    return answer.has_value();
  });
  if (!came) throw std::runtime_error("no answer of the watch came");
  return *std::move(answer);
}

std::vector<store::Event> Watching::events(std::size_t count) {
  std::vector<store::Event> all;
  while (all.size() < count) {
    store::WatchResponse response = next();
    if (response.canceled) throw std::runtime_error("the watch was cancelled: " + response.cancel_reason);
    all.insert(all.end(), std::move_iterator(response.events.begin()),
               std::move_iterator(response.events.end()));
  }
  return all;
}

void Watching::request_progress() {
  world_.on_strand([&] { subscription_->request_progress(); });
}

bool Watching::has_answer() {
  bool has = false;
  world_.on_strand([&] { has = subscription_->next(1).has_value(); });
  return has;
}

}  // namespace lockstep::store_contract
