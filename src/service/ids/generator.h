// Inside the ids: one generator, for one name and principal.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "service/ids/ids.h"
#include "service/waiting.h"

namespace lockstep::service {

class Ids::Generator : public std::enable_shared_from_this<Generator> {
 public:
  Generator(const Context& context, std::string name, store::Principal principal);

  static Task<Result<std::vector<std::uint64_t>>> take(std::shared_ptr<Generator> self, std::size_t count,
                                                       store::CallOptions options);
  // Whoever waits, and whoever comes later, is told that it is closed.
  void close();
  [[nodiscard]] bool busy() const { return refilling_; }

 private:
  struct Worker {
    std::uint64_t number = 0;
    LeaseId lease;
    TimePoint renewed{};  // when the last renewal that succeeded was sent
    Revision token;       // create_revision of its key
    Revision floor_mod;   // of the floor's key; zero: there is none
  };

  void draw(std::size_t count, std::vector<std::uint64_t>& ids);
  [[nodiscard]] std::int64_t now_ms() const;
  void start_refill();
  static Task<void> refill(std::shared_ptr<Generator> self);
  // Once: claim if there is no worker, renew if it is time, reserve. Nothing: once more.
  Task<std::optional<Status>> refill_step();
  Task<std::optional<Status>> claim();
  Task<std::optional<Status>> claim_number(std::uint64_t number, LeaseId lease, TimePoint granted);
  Task<bool> renew();
  Task<std::optional<Status>> reserve();
  Task<std::optional<Status>> give_back(std::uint64_t number, LeaseId lease, Status why);
  std::optional<Status> own(std::uint64_t number, LeaseId lease, TimePoint granted, Revision token,
                            const store::RangeResponse& floor);
  [[nodiscard]] std::string worker_key(std::uint64_t number) const;
  [[nodiscard]] std::string floor_key(std::uint64_t number) const;
  [[nodiscard]] store::CallOptions call() const;

  Context context_;
  std::string name_;
  store::Principal principal_;
  std::optional<Worker> worker_;
  std::uint64_t worker_bits_ = 0;  // of the numbers that are reserved
  std::int64_t next_ms_ = 0;       // the millisecond numbers are taken from
  std::uint64_t next_sequence_ = 0;
  std::int64_t reserved_ms_ = 0;      // numbers of milliseconds below it may be given
  std::set<std::uint64_t> unusable_;  // numbers whose floor is damaged, or at the end of time
  Status unusable_why_;
  bool refilling_ = false;
  bool closed_ = false;
  Status refilled_;
  std::map<std::uint64_t, Signal> waiting_;
  std::uint64_t last_wait_ = 0;
};

}  // namespace lockstep::service
