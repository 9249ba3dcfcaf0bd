// What the load client asks for, with the numbers of etcd's messages (src/proto/kv.proto).
#include <algorithm>
#include <cstring>

#include "cli/load.h"
#include "cli/wire_format.h"

namespace lockstep::cli {
namespace {

constexpr std::size_t key_digits = 10;

// Keys all of one length, so that requests are of one size.
class Keys {
 public:
  explicit Keys(const LoadOptions& options) : key_(bench_key(options, 0)), count_(options.keys) {}
  std::string_view any(Prng& prng) { return at(prng.below(count_)); }
  std::string_view at(std::uint64_t number) {
    char* const end = key_.data() + key_.size();
    for (std::size_t i = 1; i <= key_digits; ++i, number /= 10)
      *(end - i) = static_cast<char>('0' + number % 10);
    return key_;
  }
  [[nodiscard]] std::size_t count() const { return count_; }

 private:
  std::string key_;
  std::size_t count_;
};

std::string some_value(const LoadOptions& options) {
  Prng prng(options.seed);
  std::string value(options.value_bytes, '\0');
  for (char& c : value) c = static_cast<char>('a' + prng.below(26));
  return value;
}

class Put : public LoadOperation {
 public:
  explicit Put(const LoadOptions& options) : keys_(options), value_(some_value(options)) {}
  [[nodiscard]] std::string_view path(const LoadSlot& /*slot*/) const override {
    return "/etcdserverpb.KV/Put";
  }
  void write(LoadSlot& slot, Prng& prng) override { put(slot, keys_.any(prng)); }

 protected:
  void put(LoadSlot& slot, std::string_view key) {
    WireWriter request(slot.request);
    request.bytes(1, key);
    request.bytes(2, value_);
  }
  Keys& keys() { return keys_; }

 private:
  Keys keys_;
  std::string value_;
};

class Preload final : public Put {
 public:
  using Put::Put;
  void write(LoadSlot& slot, Prng& /*prng*/) override { put(slot, keys().at(next_++ % keys().count())); }

 private:
  std::uint64_t next_ = 0;
};

class Get final : public LoadOperation {
 public:
  Get(const LoadOptions& options, bool serializable) : keys_(options), serializable_(serializable) {}
  [[nodiscard]] std::string_view path(const LoadSlot& /*slot*/) const override {
    return "/etcdserverpb.KV/Range";
  }
  void write(LoadSlot& slot, Prng& prng) override {
    WireWriter request(slot.request);
    request.bytes(1, keys_.any(prng));
    if (serializable_) request.number(7, 1);
  }
  Answer look_at(LoadSlot& /*slot*/, std::string_view message) override {
    for (WireReader answer(message); answer.next();) {
      if (answer.field() == 2) return Answer::good;  // kvs
    }
    return Answer::miss;
  }

 private:
  Keys keys_;
  bool serializable_;
};

// Each slot has keys of its own and knows their last revision, so that the comparison holds unless somebody
// else writes; the first time on a key it does not, and the other branch tells the revision.
class CompareAndPut final : public LoadOperation {
 public:
  explicit CompareAndPut(const LoadOptions& options) : keys_(options), value_(some_value(options)) {}
  [[nodiscard]] std::string_view path(const LoadSlot& /*slot*/) const override {
    return "/etcdserverpb.KV/Txn";
  }
  void write(LoadSlot& slot, Prng& /*prng*/) override {
    const std::string_view key = keys_.at(slot.number % keys_.count());
    WireWriter compare(part_);
    compare.number(2, 2);  // target: MOD; result EQUAL is zero
    compare.bytes(3, key);
    compare.number(6, slot.revision);
    WireWriter request(slot.request);
    request.bytes(1, part_);
    WireWriter put(part_);
    put.bytes(1, key);
    put.bytes(2, value_);
    WireWriter put_operation(operation_);
    put_operation.bytes(2, part_);
    // Goes on after what the first writer left: another one would begin anew.
    request.bytes(2, operation_);
    WireWriter get(part_);
    get.bytes(1, key);
    get.number(8, 1);  // keys_only
    WireWriter get_operation(operation_);
    get_operation.bytes(1, part_);
    request.bytes(3, operation_);
  }
  Answer look_at(LoadSlot& slot, std::string_view message) override {
    bool succeeded = false;
    std::uint64_t header_revision = 0;
    std::uint64_t key_revision = 0;
    for (WireReader answer(message); answer.next();) {
      if (answer.field() == 1) header_revision = number_in(answer.bytes(), 3);
      if (answer.field() == 2) succeeded = answer.number() != 0;
      if (answer.field() != 3) continue;
      // responses[0].response_range.kvs[0].mod_revision
      key_revision = number_in(bytes_in(bytes_in(answer.bytes(), 1), 2), 3);
    }
    slot.revision = succeeded ? header_revision : key_revision;
    return succeeded ? Answer::good : Answer::miss;
  }

 private:
  static std::uint64_t number_in(std::string_view message, int field) {
    for (WireReader reader(message); reader.next();) {
      if (reader.field() == field) return reader.number();
    }
    return 0;
  }
  static std::string_view bytes_in(std::string_view message, int field) {
    for (WireReader reader(message); reader.next();) {
      if (reader.field() == field) return reader.bytes();
    }
    return {};
  }

  Keys keys_;
  std::string value_;
  std::string part_;
  std::string operation_;
};

class LeaseGrant final : public LoadOperation {
 public:
  [[nodiscard]] std::string_view path(const LoadSlot& /*slot*/) const override {
    return "/etcdserverpb.Lease/LeaseGrant";
  }
  void write(LoadSlot& slot, Prng& /*prng*/) override {
    constexpr std::uint64_t ttl_s = 60;  // they end by themselves soon after the run
    WireWriter request(slot.request);
    request.number(1, ttl_s);
  }
};

class StampedPut final : public LoadOperation {
 public:
  StampedPut(const LoadOptions& options, env::Clock& clock)
      : key_(bench_key(options, 0)), value_(some_value(options)), clock_(clock) {
    value_.resize(std::max(value_.size(), sizeof(std::int64_t)));
  }
  [[nodiscard]] std::string_view path(const LoadSlot& /*slot*/) const override {
    return "/etcdserverpb.KV/Put";
  }
  void write(LoadSlot& slot, Prng& /*prng*/) override {
    const std::int64_t now = clock_.now().time_since_epoch().count();
    std::memcpy(value_.data(), &now, sizeof now);
    WireWriter request(slot.request);
    request.bytes(1, key_);
    request.bytes(2, value_);
  }

 private:
  std::string key_;
  std::string value_;
  env::Clock& clock_;
};

}  // namespace

std::unique_ptr<LoadOperation> make_stamped_put(const LoadOptions& options, env::Clock& clock) {
  return std::make_unique<StampedPut>(options, clock);
}

std::string bench_key(const LoadOptions& options, std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return options.key_prefix + std::string(key_digits - std::min(key_digits, digits.size()), '0') + digits;
}

std::unique_ptr<LoadOperation> make_operation(std::string_view name, bool serializable,
                                              const LoadOptions& options) {
  if (name == "put") return std::make_unique<Put>(options);
  if (name == "get") return std::make_unique<Get>(options, serializable);
  if (name == "txn") return std::make_unique<CompareAndPut>(options);
  if (name == "lease-grant") return std::make_unique<LeaseGrant>();
  return nullptr;
}

std::unique_ptr<LoadOperation> make_preload(const LoadOptions& options) {
  return std::make_unique<Preload>(options);
}

}  // namespace lockstep::cli
