#include "sim/workload.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "sim/agreement_checker.h"

namespace lockstep::sim {

namespace {

constexpr std::int64_t ms = 1'000'000;

std::string tagged(Actor& client, std::string_view rest) {
  return std::to_string(client.next_number()) + ":" + std::string(rest);
}

// A value nobody else writes, of a drawn size.
std::string fresh_value(Actor& client) {
  const std::uint64_t bytes = client.prng().below(client.recorder().workload().value_bytes_max);
  return tagged(client, std::string(bytes, 'v'));
}

std::string register_key(Actor& client) {
  return register_prefix + std::to_string(client.prng().below(client.recorder().workload().registers));
}

std::string any_key(Actor& client) {
  return "k/" + std::to_string(client.prng().below(client.recorder().workload().keys));
}

// A key, or an interval of them.
void draw_interval(Actor& client, std::string* key, std::string* range_end) {
  *key = any_key(client);
  switch (client.prng().below(4)) {
    case 0:
      break;
    case 1:
      *key = "k/";
      *range_end = "k0";
      break;
    default:
      *range_end = any_key(client);
      if (*range_end < *key) std::swap(*key, *range_end);
      if (*range_end == *key) range_end->clear();
  }
}

store::RangeRequest draw_range(Actor& client) {
  Prng& prng = client.prng();
  store::RangeRequest request;
  draw_interval(client, &request.key, &request.range_end);
  if (prng.chance(1, 3)) request.limit = static_cast<std::int64_t>(prng.between(1, 10));
  request.keys_only = prng.chance(1, 10);
  request.count_only = prng.chance(1, 10);
  if (prng.chance(1, 3)) {
    request.sort_order = prng.chance(1, 2) ? store::SortOrder::ascend : store::SortOrder::descend;
    request.sort_target = static_cast<store::SortTarget>(prng.below(4));
  }
  const std::int64_t seen = client.revision_seen().value();
  if (prng.chance(1, 10))
    request.min_mod_revision = Revision(static_cast<std::int64_t>(prng.below(seen + 1)));
  if (prng.chance(1, 20))
    request.max_create_revision = Revision(static_cast<std::int64_t>(prng.below(seen + 1)));
  return request;
}

store::PutRequest draw_put(Actor& client) {
  Prng& prng = client.prng();
  store::PutRequest put;
  put.key = any_key(client);
  put.prev_kv = prng.chance(1, 3);
  // ignore_value would write a value that names another operation: left to the comparison with etcd.
  put.value = fresh_value(client);
  return put;
}

store::Compare draw_compare(Actor& client) {
  Prng& prng = client.prng();
  store::Compare compare;
  compare.key = any_key(client);
  if (prng.chance(1, 10)) compare.range_end = "k0";
  compare.result = static_cast<store::CompareResult>(prng.below(4));
  compare.target = static_cast<store::CompareTarget>(prng.below(3));
  compare.number = compare.target == store::CompareTarget::version
                       ? static_cast<std::int64_t>(prng.below(4))
                       : static_cast<std::int64_t>(prng.below(client.revision_seen().value() + 2));
  return compare;
}

// Different keys for each write, as the store demands.
std::vector<store::RequestOperation> draw_operations(Actor& client, int depth) {
  Prng& prng = client.prng();
  std::vector<store::RequestOperation> list;
  std::vector<std::string> written;
  const std::uint64_t count = prng.between(depth == 0 ? 1 : 0, 3);
  for (std::uint64_t i = 0; i < count; ++i) {
    store::PutRequest put = draw_put(client);
    const bool fresh = std::ranges::find(written, put.key) == written.end();
    if (prng.chance(1, 3)) {
      list.push_back({draw_range(client)});
    } else if (fresh) {
      written.push_back(put.key);
      if (prng.chance(1, 5)) {
        store::DeleteRangeRequest remove;
        remove.key = put.key;
        remove.prev_kv = put.prev_kv;
        list.push_back({std::move(remove)});
      } else {
        list.push_back({std::move(put)});
      }
    }
  }
  if (depth == 0 && written.empty() && prng.chance(1, 4)) {
    store::TxnRequest nested;
    nested.compare.push_back(draw_compare(client));
    nested.success = draw_operations(client, 1);
    nested.failure = draw_operations(client, 1);
    list.push_back({std::move(nested)});
  }
  return list;
}

store::TxnRequest draw_txn(Actor& client) {
  store::TxnRequest txn;
  const std::uint64_t compares = client.prng().below(3);
  for (std::uint64_t i = 0; i < compares; ++i) txn.compare.push_back(draw_compare(client));
  txn.success = draw_operations(client, 0);
  txn.failure = draw_operations(client, 0);
  return txn;
}

Task<void> use_register(Actor& client) {
  Prng& prng = client.prng();
  Coverage& coverage = client.recorder().coverage();
  store::RangeRequest get;
  get.key = register_key(client);
  const std::uint64_t kind = prng.below(10);
  if (kind < 4) {
    coverage.add(Covered::op_get);
    co_await client.execute(get, false);
  } else if (kind < 7) {
    store::PutRequest put;
    put.key = get.key;
    put.value = fresh_value(client);
    coverage.add(Covered::op_put);
    co_await client.execute(put, true);
  } else if (kind < 9) {
    Operation* seen = co_await client.execute(get, false);
    const auto* response = std::get_if<store::RangeResponse>(&seen->response);
    if (response == nullptr || response->kvs.empty()) co_return;
    store::Compare compare;
    compare.key = get.key;
    compare.target = store::CompareTarget::value;
    compare.value = response->kvs.front().value;
    store::PutRequest put;
    put.key = get.key;
    put.value = fresh_value(client);
    store::TxnRequest swap;
    swap.compare.push_back(std::move(compare));
    swap.success.push_back({std::move(put)});
    swap.failure.push_back({get});
    coverage.add(Covered::op_swap);
    co_await client.execute(swap, true);
  } else {
    store::DeleteRangeRequest remove;
    remove.key = get.key;
    coverage.add(Covered::op_delete);
    co_await client.execute(remove, true);
  }
}

store::RangeRequest all_accounts() {
  store::RangeRequest request;
  request.key = bank_prefix;
  request.range_end = "bank0";
  return request;
}

Task<void> use_bank(Actor& client) {
  Prng& prng = client.prng();
  store::RangeRequest read = all_accounts();
  read.serializable = prng.chance(1, 4);
  Operation* seen = co_await client.execute(read, false);
  const auto* response = std::get_if<store::RangeResponse>(&seen->response);
  if (response == nullptr || response->kvs.size() < 2) co_return;
  const std::size_t from = prng.below(response->kvs.size());
  const std::size_t to = (from + 1 + prng.below(response->kvs.size() - 1)) % response->kvs.size();
  const auto amount = static_cast<std::int64_t>(prng.between(1, 20));
  store::TxnRequest transfer;
  for (const std::size_t account : {from, to}) {
    const store::KeyValue& kv = response->kvs[account];
    store::Compare compare;
    compare.key = kv.key;
    compare.target = store::CompareTarget::mod_revision;
    compare.number = kv.mod_revision.value();
    transfer.compare.push_back(compare);
    store::PutRequest put;
    put.key = kv.key;
    put.value = tagged(
        client, std::to_string(SumChecker::balance_of(kv.value) + (account == from ? -amount : amount)));
    transfer.success.push_back({std::move(put)});
  }
  client.recorder().coverage().add(Covered::op_transfer);
  co_await client.execute(transfer, true);
}

Task<void> use_anything(Actor& client) {
  Prng& prng = client.prng();
  Coverage& coverage = client.recorder().coverage();
  const std::uint64_t kind = prng.below(20);
  if (kind < 7) {
    coverage.add(Covered::op_put);
    co_await client.execute(draw_put(client), true);
  } else if (kind < 9) {
    store::DeleteRangeRequest remove;
    draw_interval(client, &remove.key, &remove.range_end);
    remove.prev_kv = prng.chance(1, 2);
    coverage.add(Covered::op_delete);
    co_await client.execute(remove, true);
  } else if (kind < 13) {
    coverage.add(Covered::op_txn);
    co_await client.execute(draw_txn(client), true);
  } else {
    store::RangeRequest range = draw_range(client);
    Covered what = Covered::op_range;
    if (kind < 15) {
      range.serializable = true;
      what = Covered::op_range_serializable;
    } else if (kind < 17) {
      // Mostly the recent past, sometimes the far past or the future.
      const std::int64_t seen = client.revision_seen().value();
      const auto back = static_cast<std::int64_t>(prng.below(prng.chance(1, 4) ? 1000 : 50));
      range.revision = Revision(prng.chance(1, 20) ? seen + 100'000 : std::max<std::int64_t>(1, seen - back));
      what = Covered::op_range_historical;
    }
    coverage.add(what);
    Operation* seen = co_await client.execute(range, false);
    if (seen->outcome == Outcome::failed && seen->code == Code::out_of_range) {
      coverage.add(Covered::read_out_of_range);
    }
  }
}

}  // namespace

Task<void> set_up(Actor& client) {
  const Actor::Active active(client);
  for (;;) {
    store::TxnRequest make;
    for (std::int64_t i = 0; i < bank_accounts; ++i) {
      store::PutRequest put;
      put.key = bank_prefix + std::to_string(i);
      put.value = tagged(client, std::to_string(bank_sum / bank_accounts));
      make.success.push_back({std::move(put)});
    }
    store::Compare absent;
    absent.key = bank_prefix + std::string("0");
    absent.target = store::CompareTarget::version;
    make.compare.push_back(absent);
    Operation* made = co_await client.execute(make, false);
    if (made->outcome == Outcome::ok || client.recorder().stopping()) co_return;
    co_await client.sleep(100 * ms);
  }
}

Task<void> run_client(Actor& client) {
  const Actor::Active active(client);
  const WorkloadOptions& options = client.recorder().workload();
  if (options.request_ids && client.prng().chance(3, 4)) co_await client.register_client();
  while (!client.recorder().stopping()) {
    co_await client.sleep(
        static_cast<std::int64_t>(client.prng().below(static_cast<std::uint64_t>(options.think_ns_max))));
    if (client.recorder().stopping()) break;
    const std::uint64_t kind = client.prng().below(10);
    if (kind < 3) {
      co_await use_register(client);
    } else if (kind < 5) {
      co_await use_bank(client);
    } else {
      co_await use_anything(client);
    }
  }
}

namespace {

// Keeps the lease alive for a drawn while. False if it is gone.
Task<bool> keep_alive(Actor& client, LeaseId lease, std::int64_t ttl_ns) {
  const std::uint64_t renewals = client.prng().below(8);
  for (std::uint64_t i = 0; i < renewals && !client.recorder().stopping(); ++i) {
    // Usually well in time, sometimes too late.
    co_await client.sleep(client.prng().chance(1, 12) ? ttl_ns + 100 * ms : ttl_ns / 3);
    store::LeaseKeepAliveRequest request;
    request.id = lease;
    client.recorder().coverage().add(Covered::op_lease_keep_alive);
    Operation* renewed = co_await client.execute(request, false);
    const auto* response = std::get_if<store::LeaseKeepAliveResponse>(&renewed->response);
    if (response != nullptr && response->ttl.count() == 0) co_return false;
  }
  co_return true;
}

}  // namespace

Task<void> run_lease_client(Actor& client) {
  const Actor::Active active(client);
  while (!client.recorder().stopping()) {
    co_await client.sleep(static_cast<std::int64_t>(client.prng().below(500 * ms)));
    store::LeaseGrantRequest grant;
    grant.ttl = std::chrono::milliseconds(client.prng().between(200, 4000));
    if (client.prng().chance(1, 2))
      grant.id = LeaseId(static_cast<std::int64_t>(1'000'000 + client.next_number()));
    client.recorder().coverage().add(Covered::op_lease_grant);
    Operation* granted = co_await client.execute(grant, false);
    const auto* response = std::get_if<store::LeaseGrantResponse>(&granted->response);
    if (response == nullptr) continue;
    const LeaseId lease = response->id;
    const std::int64_t ttl_ns = response->ttl.count();
    store::PutRequest put;
    put.key = "lease/" + std::to_string(lease.value());
    put.lease = lease;
    put.value = tagged(client, "leased");
    co_await client.execute(put, false);
    const bool alive = co_await keep_alive(client, lease, ttl_ns);
    if (alive && client.prng().chance(1, 3)) {
      store::LeaseRevokeRequest revoke;
      revoke.id = lease;
      client.recorder().coverage().add(Covered::op_lease_revoke);
      co_await client.execute(revoke, false);
      // Somebody who was not told goes on renewing it.
      if (client.prng().chance(1, 2)) co_await keep_alive(client, lease, ttl_ns);
    }
  }
}

Task<void> run_compactor(Actor& client) {
  const Actor::Active active(client);
  while (!client.recorder().stopping()) {
    co_await client.sleep(static_cast<std::int64_t>(client.prng().between(2'000, 8'000)) * ms);
    if (client.recorder().stopping()) break;
    store::RangeRequest look;
    look.key = "r/0";
    co_await client.execute(look, false);
    store::CompactRequest compact;
    const auto back = static_cast<std::int64_t>(client.prng().below(300));
    compact.revision = Revision(client.revision_seen().value() - back);
    if (compact.revision.value() < 2) continue;
    client.recorder().coverage().add(Covered::op_compact);
    co_await client.execute(compact, false);
  }
}

}  // namespace lockstep::sim
