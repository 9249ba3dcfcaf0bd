// Histories written by hand (tests only): one line an operation.
//
//   HistoryBuilder h;
//   h.put(1, 10, 20, "x", "1:a", 2);     operation 1, invoked at 10, returned at 20, answered at revision 2
//   h.effect_put(2, "x", "1:a");
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "sim/history.h"

namespace lockstep::sim {

class HistoryBuilder {
 public:
  History history;

  Operation& add(std::uint64_t number, std::int64_t invoked, std::int64_t returned, AnyRequest request) {
    Operation operation;
    operation.number = number;
    operation.client = static_cast<std::uint32_t>(number);
    operation.member = NodeId(1);
    operation.member_life = 1;
    operation.invoked_ns = invoked;
    operation.returned_ns = returned;
    operation.outcome = returned == never_ns ? Outcome::unknown : Outcome::ok;
    operation.request = std::move(request);
    history.operations.push_back(std::move(operation));
    return history.operations.back();
  }
  Operation& put(std::uint64_t number, std::int64_t invoked, std::int64_t returned, std::string key,
                 std::string value, std::int64_t revision) {
    store::PutRequest request;
    request.key = std::move(key);
    request.value = std::move(value);
    Operation& operation = add(number, invoked, returned, request);
    if (returned != never_ns) {
      store::PutResponse response;
      response.header.revision = Revision(revision);
      operation.response = response;
    }
    return operation;
  }
  Operation& failed_put(std::uint64_t number, std::int64_t invoked, std::int64_t returned, std::string key,
                        std::string value, Code code) {
    Operation& operation = put(number, invoked, returned, std::move(key), std::move(value), 0);
    operation.outcome = Outcome::failed;
    operation.code = code;
    operation.response = {};
    return operation;
  }
  Operation& remove(std::uint64_t number, std::int64_t invoked, std::int64_t returned, std::string key,
                    std::int64_t deleted, std::int64_t revision) {
    store::DeleteRangeRequest request;
    request.key = std::move(key);
    Operation& operation = add(number, invoked, returned, request);
    if (returned != never_ns) {
      store::DeleteRangeResponse response;
      response.deleted = deleted;
      response.header.revision = Revision(revision);
      operation.response = response;
    }
    return operation;
  }
  // A linearizable read of one key that saw `kvs`.
  Operation& get(std::uint64_t number, std::int64_t invoked, std::int64_t returned, std::string key,
                 std::vector<store::KeyValue> kvs, std::int64_t revision) {
    store::RangeRequest request;
    request.key = std::move(key);
    store::RangeResponse response;
    response.count = static_cast<std::int64_t>(kvs.size());
    response.kvs = std::move(kvs);
    response.header.revision = Revision(revision);
    Operation& operation = add(number, invoked, returned, request);
    operation.response = std::move(response);
    return operation;
  }
  static store::KeyValue kv(std::string key, std::string value, std::int64_t create, std::int64_t mod,
                            std::int64_t version, std::int64_t lease = 0) {
    store::KeyValue result;
    result.key = std::move(key);
    result.value = std::move(value);
    result.create_revision = Revision(create);
    result.mod_revision = Revision(mod);
    result.version = version;
    result.lease = LeaseId(lease);
    return result;
  }

  // Effects. Create revision and version follow from the effects before.
  HistoryBuilder& effect_put(std::int64_t revision, const std::string& key, std::string value,
                             std::int64_t lease = 0) {
    store::KeyValue& row = rows_[key];
    const bool fresh = row.version == 0;
    row = kv(key, std::move(value), fresh ? revision : row.create_revision.value(), revision, row.version + 1,
             lease);
    store::Event event;
    event.kv = row;
    effects(revision).events.push_back(std::move(event));
    return *this;
  }
  HistoryBuilder& effect_remove(std::int64_t revision, std::string key) {
    rows_.erase(key);
    store::Event event;
    event.kind = store::EventKind::remove;
    event.kv.key = std::move(key);
    event.kv.mod_revision = Revision(revision);
    effects(revision).events.push_back(std::move(event));
    return *this;
  }
  RevisionEffects& effects(std::int64_t revision) {
    if (history.effects.empty() || history.effects.back().revision != Revision(revision)) {
      RevisionEffects made;
      made.revision = Revision(revision);
      history.effects.push_back(made);
    }
    return history.effects.back();
  }

 private:
  std::map<std::string, store::KeyValue> rows_;
};

}  // namespace lockstep::sim
