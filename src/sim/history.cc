#include "sim/history.h"

#include <type_traits>

namespace lockstep::sim {

namespace {

std::string number(std::int64_t value) {
  return std::to_string(value);
}

std::string quoted(std::string_view bytes) {
  constexpr std::size_t shown_max = 40;
  std::string text = "'";
  for (const char c : bytes.substr(0, shown_max)) text += c >= ' ' && c <= '~' ? c : '?';
  return text + (bytes.size() > shown_max ? "…'" : "'");
}

std::string interval(const std::string& key, const std::string& range_end) {
  return range_end.empty() ? quoted(key) : "[" + quoted(key) + "," + quoted(range_end) + ")";
}

std::string describe_one(std::monostate) {
  return "nothing";
}
std::string describe_one(const store::RangeRequest& r) {
  return "range " + interval(r.key, r.range_end) +
         (r.revision.value() != 0 ? " at " + number(r.revision.value()) : "") +
         (r.limit != 0 ? " limit " + number(r.limit) : "") + (r.serializable ? " serializable" : "") +
         (r.count_only ? " count_only" : "") + (r.keys_only ? " keys_only" : "");
}
std::string describe_one(const store::PutRequest& r) {
  return "put " + quoted(r.key) + "=" + quoted(r.value) +
         (r.lease.value() != 0 ? " lease " + number(r.lease.value()) : "") +
         (r.ignore_value ? " ignore_value" : "") + (r.ignore_lease ? " ignore_lease" : "");
}
std::string describe_one(const store::DeleteRangeRequest& r) {
  return "delete " + interval(r.key, r.range_end);
}
std::string describe_list(const std::vector<store::RequestOperation>& list) {
  std::string text;
  for (const auto& operation : list) {
    if (!text.empty()) text += "; ";
    if (const auto* range = std::get_if<store::RangeRequest>(&operation.request))
      text += describe_one(*range);
    if (const auto* put = std::get_if<store::PutRequest>(&operation.request)) text += describe_one(*put);
    if (const auto* remove = std::get_if<store::DeleteRangeRequest>(&operation.request)) {
      text += describe_one(*remove);
    }
    if (std::holds_alternative<store::TxnRequest>(operation.request)) text += "nested txn";
  }
  return text;
}
std::string describe_one(const store::TxnRequest& r) {
  std::string text = "txn if";
  for (const store::Compare& c : r.compare) {
    constexpr const char* targets[] = {"version", "create", "mod", "value", "lease"};
    constexpr const char* signs[] = {"==", ">", "<", "!="};
    text += " " + std::string(targets[static_cast<int>(c.target)]) + "(" + interval(c.key, c.range_end) +
            ")" + signs[static_cast<int>(c.result)] +
            (c.target == store::CompareTarget::value ? quoted(c.value) : number(c.number));
  }
  return text + " then {" + describe_list(r.success) + "} else {" + describe_list(r.failure) + "}";
}
std::string describe_one(const store::CompactRequest& r) {
  return "compact " + number(r.revision.value());
}
std::string describe_one(const store::LeaseGrantRequest& r) {
  return "lease_grant " + number(r.id.value()) + " ttl_ms " + number(r.ttl.count() / 1'000'000);
}
std::string describe_one(const store::LeaseRevokeRequest& r) {
  return "lease_revoke " + number(r.id.value());
}
std::string describe_one(const store::LeaseKeepAliveRequest& r) {
  return "lease_keep_alive " + number(r.id.value());
}

std::string describe_one(const store::RangeResponse& r) {
  std::string text = "count " + number(r.count) + (r.more ? " more" : "") + " {";
  constexpr std::size_t shown_max = 6;
  for (std::size_t i = 0; i < r.kvs.size() && i < shown_max; ++i)
    text += (i > 0 ? ", " : "") + describe(r.kvs[i]);
  return text + (r.kvs.size() > shown_max ? ", …}" : "}");
}
std::string describe_one(const store::PutResponse& r) {
  return r.prev_kv ? "prev " + describe(*r.prev_kv) : "done";
}
std::string describe_one(const store::DeleteRangeResponse& r) {
  return "deleted " + number(r.deleted);
}
std::string describe_one(const store::TxnResponse& r) {
  std::string text = r.succeeded ? "succeeded {" : "failed {";
  for (const auto& operation : r.responses) {
    if (text.back() != '{') text += "; ";
    if (const auto* range = std::get_if<store::RangeResponse>(&operation.response))
      text += describe_one(*range);
    if (const auto* put = std::get_if<store::PutResponse>(&operation.response)) text += describe_one(*put);
    if (const auto* remove = std::get_if<store::DeleteRangeResponse>(&operation.response)) {
      text += describe_one(*remove);
    }
  }
  return text + "}";
}
std::string describe_one(const store::CompactResponse&) {
  return "compacted";
}
std::string describe_one(const store::LeaseGrantResponse& r) {
  return "lease " + number(r.id.value()) + " ttl_ms " + number(r.ttl.count() / 1'000'000);
}
std::string describe_one(const store::LeaseRevokeResponse&) {
  return "revoked";
}
std::string describe_one(const store::LeaseKeepAliveResponse& r) {
  return "ttl_ms " + number(r.ttl.count() / 1'000'000);
}

std::string describe_one(const store::RegisterClientResponse& r) {
  return "client " + std::to_string(r.client.value());
}

std::string time_text(std::int64_t ns) {
  return ns == never_ns ? "never" : std::to_string(static_cast<double>(ns) / 1e9) + "s";
}

}  // namespace

std::string describe(const store::KeyValue& kv) {
  return quoted(kv.key) + "=" + quoted(kv.value) + "(create " + number(kv.create_revision.value()) + " mod " +
         number(kv.mod_revision.value()) + " version " + number(kv.version) +
         (kv.lease.value() != 0 ? " lease " + number(kv.lease.value()) : "") + ")";
}

std::string describe(const AnyRequest& request) {
  return std::visit([](const auto& r) { return describe_one(r); }, request);
}

std::string describe(const AnyResponse& response) {
  const std::int64_t revision = std::visit(
      [](const auto& r) {
        if constexpr (std::is_same_v<std::decay_t<decltype(r)>, std::monostate>) {
          return std::int64_t{0};
        } else {
          return r.header.revision.value();
        }
      },
      response);
  return std::visit([](const auto& r) { return describe_one(r); }, response) + " @" + number(revision);
}

std::string describe(const Operation& operation) {
  std::string text = "#" + std::to_string(operation.number) + " client " + std::to_string(operation.client) +
                     " member " + std::to_string(operation.member.value()) + " [" +
                     time_text(operation.invoked_ns) + ", " + time_text(operation.returned_ns) + "] " +
                     describe(operation.request);
  if (operation.outcome == Outcome::unknown) return text + " -> unknown";
  if (operation.outcome == Outcome::failed) return text + " -> " + std::string(to_string(operation.code));
  return text + " -> " + describe(operation.response);
}

}  // namespace lockstep::sim
