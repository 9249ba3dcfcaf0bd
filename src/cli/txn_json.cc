// Transactions from JSON.
#include <array>
#include <list>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/limits.h"
#include "cli/text.h"
#include "cli/txn_text.h"

namespace lockstep::cli {
namespace {

using Json = nlohmann::json;

Status wrong(const std::string& pointer, std::string_view why) {
  return {Code::invalid_argument, fmt::format("{}: {}", pointer.empty() ? "/" : pointer, why)};
}

// The members of one object, each taken once: what is left over is unknown.
class Members {
 public:
  static Result<Members> of(const Json& json, std::string pointer) {
    if (!json.is_object()) return wrong(pointer, "expected an object");
    return Members(json, std::move(pointer));
  }
  const Json* take(const char* name) {
    const auto found = left_.find(name);
    if (found == left_.end()) return nullptr;
    taken_.push_back(std::move(*found));
    left_.erase(found);
    return &taken_.back();
  }
  Status bytes(const char* name, std::string* into) {
    const Json* member = take(name);
    if (member == nullptr) return {};
    if (!member->is_string()) return wrong(pointer_ + "/" + name, "expected a text");
    Result<std::string> bytes = unescape(member->get_ref<const std::string&>());
    if (!bytes.ok()) return wrong(pointer_ + "/" + name, bytes.status().message());
    *into = *std::move(bytes);
    return {};
  }
  Status number(const char* name, std::int64_t* into) {
    const Json* member = take(name);
    if (member == nullptr) return {};
    if (!member->is_number_integer()) return wrong(pointer_ + "/" + name, "expected a whole number");
    *into = member->get<std::int64_t>();
    return {};
  }
  Status lease(const char* name, std::int64_t* into) {
    const Json* member = take(name);
    if (member == nullptr) return {};
    if (!member->is_string()) return wrong(pointer_ + "/" + name, "expected an id in hexadecimal, as a text");
    const Result<std::uint64_t> id = parse_hex_id(member->get_ref<const std::string&>());
    if (!id.ok()) return wrong(pointer_ + "/" + name, id.status().message());
    *into = static_cast<std::int64_t>(*id);
    return {};
  }
  Status flag(const char* name, bool* into) {
    const Json* member = take(name);
    if (member == nullptr) return {};
    if (!member->is_boolean()) return wrong(pointer_ + "/" + name, "expected true or false");
    *into = member->get<bool>();
    return {};
  }
  Status range(std::string* key, std::string* range_end) {
    LS_RETURN_IF_ERROR(bytes("key", key));
    LS_RETURN_IF_ERROR(bytes("range_end", range_end));
    bool prefix = false;
    LS_RETURN_IF_ERROR(flag("prefix", &prefix));
    if (prefix) *range_end = prefix_end(*key);
    if (key->empty() && !range_end->empty()) *key = std::string(1, '\0');
    return {};
  }
  [[nodiscard]] Status done() const {
    if (left_.empty()) return {};
    return wrong(pointer_ + "/" + left_.begin().key(), "unknown member");
  }
  [[nodiscard]] const std::string& pointer() const { return pointer_; }

 private:
  Members(const Json& json, std::string pointer) : left_(json), pointer_(std::move(pointer)) {}
  Json left_;
  std::list<Json> taken_;
  std::string pointer_;
};

constexpr std::array<std::pair<std::string_view, store::CompareTarget>, 5> targets = {
    {{"version", store::CompareTarget::version},
     {"create_revision", store::CompareTarget::create_revision},
     {"mod_revision", store::CompareTarget::mod_revision},
     {"value", store::CompareTarget::value},
     {"lease", store::CompareTarget::lease}}};
constexpr std::array<std::pair<std::string_view, store::CompareResult>, 4> results = {
    {{"equal", store::CompareResult::equal},
     {"not_equal", store::CompareResult::not_equal},
     {"greater", store::CompareResult::greater},
     {"less", store::CompareResult::less}}};

template <class Names, class Name>
Status take_name(Members& members, const char* member, const Names& names, Name* into) {
  std::string text;
  LS_RETURN_IF_ERROR(members.bytes(member, &text));
  for (const auto& [name, value] : names) {
    if (name != text) continue;
    *into = value;
    return {};
  }
  return wrong(members.pointer() + "/" + member, fmt::format("'{}' is not known", text));
}

Result<store::Compare> compare_of(const Json& json, const std::string& pointer) {
  LS_ASSIGN_OR_RETURN(Members members, Members::of(json, pointer));
  store::Compare compare;
  LS_RETURN_IF_ERROR(members.range(&compare.key, &compare.range_end));
  LS_RETURN_IF_ERROR(take_name(members, "target", targets, &compare.target));
  LS_RETURN_IF_ERROR(take_name(members, "result", results, &compare.result));
  switch (compare.target) {
    case store::CompareTarget::value:
      LS_RETURN_IF_ERROR(members.bytes("value", &compare.value));
      break;
    case store::CompareTarget::lease:
      LS_RETURN_IF_ERROR(members.lease("value", &compare.number));
      break;
    default:
      LS_RETURN_IF_ERROR(members.number("value", &compare.number));
  }
  LS_RETURN_IF_ERROR(members.done());
  return compare;
}

Result<store::TxnRequest> txn_of(const Json& json, const std::string& pointer, std::size_t depth);

Result<store::RequestOperation> put_of(Members members) {
  store::PutRequest put;
  std::int64_t lease = 0;
  LS_RETURN_IF_ERROR(members.bytes("key", &put.key));
  LS_RETURN_IF_ERROR(members.bytes("value", &put.value));
  LS_RETURN_IF_ERROR(members.lease("lease", &lease));
  LS_RETURN_IF_ERROR(members.flag("prev_kv", &put.prev_kv));
  LS_RETURN_IF_ERROR(members.flag("ignore_value", &put.ignore_value));
  LS_RETURN_IF_ERROR(members.flag("ignore_lease", &put.ignore_lease));
  LS_RETURN_IF_ERROR(members.done());
  put.lease = LeaseId(lease);
  return store::RequestOperation{std::move(put)};
}

Result<store::RequestOperation> get_of(Members members) {
  store::RangeRequest range;
  std::int64_t revision = 0;
  LS_RETURN_IF_ERROR(members.range(&range.key, &range.range_end));
  LS_RETURN_IF_ERROR(members.number("limit", &range.limit));
  LS_RETURN_IF_ERROR(members.number("revision", &revision));
  LS_RETURN_IF_ERROR(members.flag("keys_only", &range.keys_only));
  LS_RETURN_IF_ERROR(members.flag("count_only", &range.count_only));
  LS_RETURN_IF_ERROR(members.done());
  range.revision = Revision(revision);
  return store::RequestOperation{std::move(range)};
}

Result<store::RequestOperation> delete_of(Members members) {
  store::DeleteRangeRequest removal;
  LS_RETURN_IF_ERROR(members.range(&removal.key, &removal.range_end));
  LS_RETURN_IF_ERROR(members.flag("prev_kv", &removal.prev_kv));
  LS_RETURN_IF_ERROR(members.done());
  return store::RequestOperation{std::move(removal)};
}

Result<store::RequestOperation> operation_of(const Json& json, const std::string& pointer,
                                             std::size_t depth) {
  if (!json.is_object() || json.size() != 1)
    return wrong(pointer, "expected an object with one of put, get, del, txn");
  const std::string verb = json.begin().key();
  const Json& body = json.begin().value();
  const std::string inside = pointer + "/" + verb;
  if (verb == "txn") {
    LS_ASSIGN_OR_RETURN(store::TxnRequest txn, txn_of(body, inside, depth + 1));
    return store::RequestOperation{std::move(txn)};
  }
  LS_ASSIGN_OR_RETURN(Members members, Members::of(body, inside));
  if (verb == "put") return put_of(std::move(members));
  if (verb == "get") return get_of(std::move(members));
  if (verb == "del") return delete_of(std::move(members));
  return wrong(pointer, fmt::format("'{}' is none of put, get, del, txn", verb));
}

Result<store::TxnRequest> txn_of(const Json& json, const std::string& pointer, std::size_t depth) {
  if (depth > limits::txn_depth_max) return wrong(pointer, "nested too deep");
  LS_ASSIGN_OR_RETURN(Members members, Members::of(json, pointer));
  store::TxnRequest txn;
  for (const char* name : {"compare", "success", "failure"}) {
    const Json* list = members.take(name);
    if (list == nullptr) continue;
    const std::string inside = pointer + "/" + name;
    if (!list->is_array()) return wrong(inside, "expected a list");
    for (std::size_t i = 0; i < list->size(); ++i) {
      const std::string element = fmt::format("{}/{}", inside, i);
      if (std::string_view(name) == "compare") {
        LS_ASSIGN_OR_RETURN(txn.compare.emplace_back(), compare_of((*list)[i], element));
        continue;
      }
      std::vector<store::RequestOperation>& operations =
          std::string_view(name) == "success" ? txn.success : txn.failure;
      LS_ASSIGN_OR_RETURN(operations.emplace_back(), operation_of((*list)[i], element, depth));
    }
  }
  LS_RETURN_IF_ERROR(members.done());
  return txn;
}

}  // namespace

Result<store::TxnRequest> parse_txn_json(std::string_view input) {
  try {
    return txn_of(Json::parse(input), "", 0);
  } catch (const Json::parse_error& error) {
    return Status(Code::invalid_argument, fmt::format("byte {}: {}", error.byte, error.what()));
  } catch (const Json::out_of_range& error) {  // 1e999
    return Status(Code::invalid_argument, error.what());
  }
}

}  // namespace lockstep::cli
