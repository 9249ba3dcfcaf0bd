// A place in line for whoever brings a lease and renews it as it likes: etcd's lock and election services,
// whose clients we know nothing else of.
//
// 1. What line.h promises, but that nobody here can tell when the lease ends: a waiter whose lease ended
//    learns it when it is its turn.
// 2. Calls with one lease and name, here or in other members, share its place: a repetition after an error or
//    an unknown outcome finds its own key and carries on from there. Nothing of the call before, sent and not
//    heard of, hits what the repetition is told that it holds. But leaving looks again when it finds the key
//    written since: an unlock that nobody waits for any more can remove what was entered after it, as in
//    etcd.
// 3. Whoever is refused before it has a place is told at once, in the store's words. A call that ends later
//    gives its place up; but not one of which nobody can tell whether this call or another with the same
//    lease made it: that one stays until it is left, or the lease ends.
// 4. A caller needs permission for its name's keys only, as with etcd. One that may not use those of
//    lockstep/sessions/ either is told unknown_outcome where others are not, and may leave a place behind.
//
// Costs: a free name is one write; leaving it is one write, elsewhere than where it was entered also a read
// at the own member.
//
// Ownership: calls that wait when it is destroyed are cancelled. Strand: the store's.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/ids.h"
#include "base/status.h"
#include "service/contenders.h"
#include "service/context.h"
#include "service/line.h"
#include "store/store.h"

namespace lockstep::service {

// Of the lease of a contender that brings none, from when it began to wait. Nobody renews it: etcd's rule.
inline constexpr Duration lent_lease_ttl = std::chrono::seconds(60);

struct LeasePlace {
  std::string name;
  LeaseId lease;  // zero: one of lent_lease_ttl is made
  std::string value;
};

namespace errors {
Status session_expired();  // failed_precondition: the lease, or the place, ended while its owner waited
}  // namespace errors

// The mod_revisions of keys as they were served here, which saves whoever leaves a look. All are forgotten
// when there are too many: a hint, no more.
class ServedKeys {
 public:
  static constexpr std::size_t keys_max = 100'000;   // about 15 MB, with keys of 100 bytes
  static constexpr std::size_t key_bytes_max = 256;  // longer ones are not remembered

  void remember(const std::string& key, Revision modified);
  // Zero: not known. It is forgotten.
  Revision take(const std::string& key);

 private:
  std::unordered_map<std::string, Revision> modified_;
};

class LeaseLine {
 public:
  explicit LeaseLine(const Context& context)
      : context_(context), line_(std::make_shared<Line>(context)), served_(std::make_shared<ServedKeys>()) {}
  ~LeaseLine() { close(); }
  // Cancels those who wait, now and from now on; they are answered in a later turn.
  void close() { line_->close(); }
  LeaseLine(const LeaseLine&) = delete;
  LeaseLine& operator=(const LeaseLine&) = delete;

  // Answers once the name is owned. A place that the lease has already gets the new value.
  void enter(LeasePlace place, store::CallOptions options, store::Callback<Ownership> done);
  // Removes a key as it is now: late, it does not hit what was written since. Ok also if there is none.
  void leave(std::string key, store::CallOptions options, store::Callback<store::Header> done);

  [[nodiscard]] std::size_t contenders() const { return line_->waiters(); }

 private:
  Context context_;
  std::shared_ptr<Line> line_;  // also of calls that run
  std::shared_ptr<ServedKeys> served_;
};

}  // namespace lockstep::service
