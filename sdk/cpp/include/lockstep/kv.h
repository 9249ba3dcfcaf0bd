// Keys, values, transactions and watches: etcd's data model. Keys and values are any bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/call_options.h"
#include "lockstep/operation.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

class Txn;

namespace detail {
struct TxnParts;
TxnParts& parts_of(Txn& txn);
class WatchState;
}  // namespace detail

using Revision = std::int64_t;  // of the whole store; grows by one with each change
using LeaseId = std::int64_t;   // 0: none

struct KeyValue {
  std::string key;
  std::string value;
  Revision create_revision = 0;  // of the put that made the key
  Revision mod_revision = 0;     // of its last put
  std::int64_t version = 0;      // 1 at creation, one more with each put
  LeaseId lease = 0;

  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};

// What get() of several keys brings.
struct KeyValues {
  std::vector<KeyValue> items;
  std::int64_t count = 0;  // in the range, whatever the limit
  Revision revision = 0;   // of the store when this was so
};

// Which keys: one, all that begin with a prefix, or all from one to before another.
class Keys {
 public:
  static Keys one(std::string key) { return {std::move(key), {}}; }
  static Keys prefix(std::string_view prefix);
  static Keys range(std::string from, std::string to) { return {std::move(from), std::move(to)}; }
  static Keys all() { return {std::string(1, '\0'), std::string(1, '\0')}; }
  [[nodiscard]] const std::string& from() const { return from_; }
  [[nodiscard]] const std::string& to() const { return to_; }

 private:
  Keys(std::string from, std::string to) : from_(std::move(from)), to_(std::move(to)) {}
  std::string from_;
  std::string to_;
};

struct TxnResult {
  bool succeeded = false;  // every condition held; its changes were made, or else those of otherwise_…
  Revision revision = 0;
};

// Conditions and changes that take effect together or not at all:
//   client.commit(Txn().if_version("k", 0).put("k", "v"))    creates k only if it does not exist
class Txn {
 public:
  Txn();
  Txn(const Txn&);
  Txn(Txn&&) noexcept;
  Txn& operator=(const Txn&);
  Txn& operator=(Txn&&) noexcept;
  ~Txn();

  Txn& if_value(std::string key, std::string value);
  Txn& if_version(std::string key, std::int64_t version);  // 0: the key does not exist
  Txn& if_created_at(std::string key, Revision create_revision);
  Txn& if_modified_at(std::string key, Revision mod_revision);

  Txn& put(std::string key, std::string value, LeaseId lease = 0);
  Txn& remove(std::string key);
  Txn& remove(const Keys& keys);
  // When some condition does not hold.
  Txn& otherwise_put(std::string key, std::string value, LeaseId lease = 0);
  Txn& otherwise_remove(std::string key);

  [[nodiscard]] const detail::TxnParts& parts() const { return *parts_; }

 private:
  friend detail::TxnParts& detail::parts_of(Txn& txn);
  std::unique_ptr<detail::TxnParts> parts_;
};

struct Event {
  enum class Kind : std::uint8_t { put, removed };
  Kind kind = Kind::put;
  KeyValue item;  // of a removal: key and mod_revision only
};

// Every change of some keys, in order, each once, across broken connections. next() answers with at least one
// event, in whole revisions; a reader that is slow costs neither memory nor others' time. Destroying it ends
// it; a next() that runs then is cancelled.
//
// Errors of next(): out_of_range when the revision to begin at is compacted, permission_denied, cancelled.
class Watch {
 public:
  explicit Watch(std::shared_ptr<detail::WatchState> state) : state_(std::move(state)) {}
  Watch(Watch&&) noexcept = default;
  Watch& operator=(Watch&& other) noexcept;
  ~Watch();
  // One at a time.
  Operation<std::vector<Event>> next(CallOptions options = {});

 private:
  std::shared_ptr<detail::WatchState> state_;
};

}  // namespace lockstep::LOCKSTEP_INLINEv1
