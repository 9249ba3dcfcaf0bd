#include "wire_json.h"

#include <array>

#include <boost/beast/core/detail/base64.hpp>
#include <boost/json.hpp>

#include "base/assert.h"

namespace lockstep::etcd_test {
namespace {

using namespace lockstep::store;
using boost::json::array;
using boost::json::object;
using boost::json::value;

std::string base64(std::string_view bytes) {
  namespace codec = boost::beast::detail::base64;
  std::string out(codec::encoded_size(bytes.size()), '\0');
  out.resize(codec::encode(out.data(), bytes.data(), bytes.size()));
  return out;
}

// Fields appear only if they are not zero.
class Fields {
 public:
  Fields& bytes(const char* name, std::string_view bytes) {
    if (!bytes.empty()) object_[name] = base64(bytes);
    return *this;
  }
  Fields& number(const char* name, std::int64_t number) {
    if (number != 0) object_[name] = std::to_string(number);
    return *this;
  }
  Fields& flag(const char* name, bool flag) {
    if (flag) object_[name] = true;
    return *this;
  }
  Fields& name(const char* name, std::string_view text) {
    if (!text.empty()) object_[name] = text;
    return *this;
  }
  Fields& list(const char* name, array list) {
    if (!list.empty()) object_[name] = std::move(list);
    return *this;
  }
  Fields& nested(const char* name, value nested) {
    object_[name] = std::move(nested);
    return *this;
  }
  [[nodiscard]] value take() { return std::move(object_); }

 private:
  object object_;
};

constexpr std::array sort_orders{"NONE", "ASCEND", "DESCEND"};
constexpr std::array sort_targets{"KEY", "VERSION", "CREATE", "MOD", "VALUE"};
constexpr std::array compare_results{"EQUAL", "GREATER", "LESS", "NOT_EQUAL"};
constexpr std::array compare_targets{"VERSION", "CREATE", "MOD", "VALUE", "LEASE"};
constexpr std::array alarm_kinds{"NONE", "NOSPACE", "CORRUPT"};
constexpr std::array alarm_actions{"GET", "ACTIVATE", "DEACTIVATE"};

value request_json(const RangeRequest& request) {
  return Fields()
      .bytes("key", request.key)
      .bytes("range_end", request.range_end)
      .number("limit", request.limit)
      .number("revision", request.revision.value())
      .name("sort_order", sort_orders[static_cast<std::size_t>(request.sort_order)])
      .name("sort_target", sort_targets[static_cast<std::size_t>(request.sort_target)])
      .flag("serializable", request.serializable)
      .flag("keys_only", request.keys_only)
      .flag("count_only", request.count_only)
      .number("min_mod_revision", request.min_mod_revision.value())
      .number("max_mod_revision", request.max_mod_revision.value())
      .number("min_create_revision", request.min_create_revision.value())
      .number("max_create_revision", request.max_create_revision.value())
      .take();
}

value request_json(const PutRequest& request) {
  return Fields()
      .bytes("key", request.key)
      .bytes("value", request.value)
      .number("lease", request.lease.value())
      .flag("prev_kv", request.prev_kv)
      .flag("ignore_value", request.ignore_value)
      .flag("ignore_lease", request.ignore_lease)
      .take();
}

value request_json(const DeleteRangeRequest& request) {
  return Fields()
      .bytes("key", request.key)
      .bytes("range_end", request.range_end)
      .flag("prev_kv", request.prev_kv)
      .take();
}

value request_json(const Compare& compare) {
  Fields fields;
  fields.bytes("key", compare.key)
      .bytes("range_end", compare.range_end)
      .name("result", compare_results[static_cast<std::size_t>(compare.result)])
      .name("target", compare_targets[static_cast<std::size_t>(compare.target)]);
  constexpr std::array union_names{"version", "create_revision", "mod_revision", "value", "lease"};
  const char* name = union_names[static_cast<std::size_t>(compare.target)];
  if (compare.target == CompareTarget::value) {
    fields.bytes(name, compare.value);
  } else {
    fields.number(name, compare.number);
  }
  return fields.take();
}

value request_json(const TxnRequest& request);

value request_json(const RequestOperation& operation) {
  Fields fields;
  if (const auto* range = std::get_if<RangeRequest>(&operation.request)) {
    fields.nested("request_range", request_json(*range));
  } else if (const auto* put = std::get_if<PutRequest>(&operation.request)) {
    fields.nested("request_put", request_json(*put));
  } else if (const auto* removal = std::get_if<DeleteRangeRequest>(&operation.request)) {
    fields.nested("request_delete_range", request_json(*removal));
  } else if (const auto* txn = std::get_if<TxnRequest>(&operation.request)) {
    fields.nested("request_txn", request_json(*txn));
  }
  return fields.take();
}

value request_json(const TxnRequest& request) {
  array compare;
  for (const Compare& one : request.compare) compare.push_back(request_json(one));
  array success;
  for (const RequestOperation& operation : request.success) success.push_back(request_json(operation));
  array failure;
  for (const RequestOperation& operation : request.failure) failure.push_back(request_json(operation));
  return Fields()
      .list("compare", std::move(compare))
      .list("success", std::move(success))
      .list("failure", std::move(failure))
      .take();
}

struct ToHttp {
  HttpRequest operator()(const RangeRequest& request) const { return {"kv/range", request_json(request)}; }
  HttpRequest operator()(const PutRequest& request) const { return {"kv/put", request_json(request)}; }
  HttpRequest operator()(const DeleteRangeRequest& request) const {
    return {"kv/deleterange", request_json(request)};
  }
  HttpRequest operator()(const TxnRequest& request) const { return {"kv/txn", request_json(request)}; }
  HttpRequest operator()(const CompactRequest& request) const {
    return {"kv/compaction",
            Fields().number("revision", request.revision.value()).flag("physical", request.physical).take()};
  }
  HttpRequest operator()(const LeaseGrantRequest& request) const {
    const auto ttl_s = std::chrono::duration_cast<std::chrono::seconds>(request.ttl).count();
    return {"lease/grant", Fields().number("TTL", ttl_s).number("ID", request.id.value()).take()};
  }
  HttpRequest operator()(const LeaseRevokeRequest& request) const {
    return {"lease/revoke", Fields().number("ID", request.id.value()).take()};
  }
  HttpRequest operator()(const LeaseKeepAliveRequest& request) const {
    return {"lease/keepalive", Fields().number("ID", request.id.value()).take()};
  }
  HttpRequest operator()(const LeaseTimeToLiveRequest& request) const {
    return {"lease/timetolive", Fields().number("ID", request.id.value()).flag("keys", request.keys).take()};
  }
  HttpRequest operator()(const LeaseLeasesResponse&) const { return {"lease/leases", object()}; }
  HttpRequest operator()(const AlarmRequest& request) const {
    return {"maintenance/alarm",
            Fields()
                .name("action", alarm_actions[static_cast<std::size_t>(request.action)])
                .number("memberID", static_cast<std::int64_t>(request.alarm.member.value()))
                .name("alarm", alarm_kinds[static_cast<std::size_t>(request.alarm.kind)])
                .take()};
  }
};

value header_json(const Header& header) {
  return Fields().number("revision", header.revision.value()).take();
}

value kv_json(const KeyValue& kv) {
  return Fields()
      .bytes("key", kv.key)
      .bytes("value", kv.value)
      .number("create_revision", kv.create_revision.value())
      .number("mod_revision", kv.mod_revision.value())
      .number("version", kv.version)
      .number("lease", kv.lease.value())
      .take();
}

array kvs_json(const std::vector<KeyValue>& kvs) {
  array list;
  for (const KeyValue& kv : kvs) list.push_back(kv_json(kv));
  return list;
}

Fields with_header(const Header& header) {
  Fields fields;
  fields.nested("header", header_json(header));
  return fields;
}

std::int64_t seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

struct ToJson {
  value operator()(const NothingResponse& response) const { return with_header(response.header).take(); }
  value operator()(const PutResponse& response) const {
    Fields fields = with_header(response.header);
    if (response.prev_kv.has_value()) fields.nested("prev_kv", kv_json(*response.prev_kv));
    return fields.take();
  }
  value operator()(const DeleteRangeResponse& response) const {
    return with_header(response.header)
        .number("deleted", response.deleted)
        .list("prev_kvs", kvs_json(response.prev_kvs))
        .take();
  }
  value operator()(const TxnResponse& response) const {
    array responses;
    for (const ResponseOperation& operation : response.responses)
      responses.push_back(operation_json(operation));
    return with_header(response.header)
        .flag("succeeded", response.succeeded)
        .list("responses", std::move(responses))
        .take();
  }
  value operator()(const CompactResponse& response) const { return with_header(response.header).take(); }
  value operator()(const LeaseGrantResponse& response) const {
    return with_header(response.header)
        .number("ID", response.id.value())
        .number("TTL", seconds(response.ttl))
        .take();
  }
  value operator()(const LeaseRevokeResponse& response) const { return with_header(response.header).take(); }
  value operator()(const LeaseRenewResponse&) const { LS_UNREACHABLE("etcd renews one by one"); }
  // etcd 3.4 sends no header with alarms.
  value operator()(const AlarmResponse& response) const {
    array alarms;
    for (const Alarm& alarm : response.alarms) {
      alarms.push_back(Fields()
                           .number("memberID", static_cast<std::int64_t>(alarm.member.value()))
                           .name("alarm", alarm_kinds[static_cast<std::size_t>(alarm.kind)])
                           .take());
    }
    return Fields().list("alarms", std::move(alarms)).take();
  }
  value operator()(const AuthResponse& response) const { return with_header(response.header).take(); }
  value operator()(const RegisterClientResponse&) const { LS_UNREACHABLE("etcd has no such request"); }

  value operation_json(const ResponseOperation& operation) const {
    Fields fields;
    if (const auto* range = std::get_if<RangeResponse>(&operation.response)) {
      fields.nested("response_range", to_json(*range));
    } else if (const auto* put = std::get_if<PutResponse>(&operation.response)) {
      fields.nested("response_put", (*this)(*put));
    } else if (const auto* removal = std::get_if<DeleteRangeResponse>(&operation.response)) {
      fields.nested("response_delete_range", (*this)(*removal));
    } else if (const auto* txn = std::get_if<TxnResponse>(&operation.response)) {
      fields.nested("response_txn", (*this)(*txn));
    }
    return fields.take();
  }
};

int grpc_code(Code code) {
  switch (code) {
    case Code::invalid_argument:
      return 3;
    case Code::not_found:
      return 5;
    case Code::permission_denied:
      return 7;
    case Code::resource_exhausted:
      return 8;
    case Code::failed_precondition:
      return 9;
    case Code::out_of_range:
      return 11;
    case Code::unauthenticated:
      return 16;
    default:
      return -1;
  }
}

}  // namespace

HttpRequest to_http(const Step& step) {
  return std::visit(ToHttp(), step);
}

std::string describe(const Step& step) {
  const HttpRequest request = to_http(step);
  std::string body = boost::json::serialize(request.body);
  if (body.size() > 1500) body = body.substr(0, 1500) + "…";
  return request.path + " " + body;
}

value to_json(const Status& error) {
  return Fields()
      .name("error", error.message())
      .name("message", error.message())
      .nested("code", grpc_code(error.code()))
      .take();
}

value to_json(const RangeResponse& response) {
  return with_header(response.header)
      .list("kvs", kvs_json(response.kvs))
      .flag("more", response.more)
      .number("count", response.count)
      .take();
}

value to_json(const Response& response) {
  return std::visit(ToJson(), response);
}

value to_json(const LeaseKeepAliveResponse& response) {
  value result = with_header(response.header)
                     .number("ID", response.id.value())
                     .number("TTL", seconds(response.ttl))
                     .take();
  return Fields().nested("result", std::move(result)).take();
}

value to_json(const LeaseTimeToLiveResponse& response) {
  array keys;
  for (const std::string& key : response.keys) keys.push_back(value(base64(key)));
  return with_header(response.header)
      .number("ID", response.id.value())
      .number("TTL", response.found ? seconds(response.remaining) : -1)
      .number("grantedTTL", seconds(response.granted_ttl))
      .list("keys", std::move(keys))
      .take();
}

value to_json(const LeaseLeasesResponse& response) {
  array leases;
  for (const LeaseId id : response.leases) leases.push_back(Fields().number("ID", id.value()).take());
  return with_header(response.header).list("leases", std::move(leases)).take();
}

}  // namespace lockstep::etcd_test
