// The store as a checker imagines it: every version of every key for ever, written for clearness alone and
// sharing no code with the real one.
//
// Mutations run at the newest revision and take the next one if they change anything. Leases are taken to
// exist; who may end them is the lease checker's business.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/history.h"
#include "store/types.h"

namespace lockstep::sim {

class ModelStore {
 public:
  // The answer, and what changed. Headers carry only the revision, and only the outermost one.
  struct Applied {
    Code code = Code::ok;
    AnyResponse response;
    std::vector<store::Event> events;
  };

  [[nodiscard]] Revision revision() const { return Revision(revision_); }

  // What a read at `at` sees; `at` must not lie above revision().
  [[nodiscard]] store::RangeResponse range(const store::RangeRequest& request, Revision at) const;

  // Mutations and transactions; anything else is answered with Code::unimplemented.
  Applied apply(const AnyRequest& request);
  // The same, taken back: what it would do.
  Applied dry_run(const AnyRequest& request);
  // What a transaction without effects would answer at `at`, or nullopt if it would change something.
  [[nodiscard]] std::optional<store::TxnResponse> read_only_txn(const store::TxnRequest& request,
                                                                Revision at) const;
  // A change nobody asked for: a lease that ended.
  void remove_keys(const std::vector<std::string>& keys);

  [[nodiscard]] const store::KeyValue* get(const std::string& key, Revision at) const;
  [[nodiscard]] std::vector<std::string> keys_of_lease(LeaseId lease) const;

 private:
  struct Version {
    std::int64_t revision = 0;
    std::optional<store::KeyValue> kv;  // absent: removed
  };
  struct Run;  // one mutation under way

  Applied execute(Run& run, const AnyRequest& request);
  void write(Run& run, const std::string& key, std::optional<store::KeyValue> kv);
  void roll_back(const Run& run);
  Code put(Run& run, const store::PutRequest& request, store::PutResponse* response);
  void delete_range(Run& run, const store::DeleteRangeRequest& request, store::DeleteRangeResponse* response);
  Code txn(Run& run, const store::TxnRequest& request, store::TxnResponse* response);
  [[nodiscard]] bool holds(const store::Compare& compare, std::int64_t at) const;
  [[nodiscard]] std::vector<const store::KeyValue*> find(const std::string& key, const std::string& range_end,
                                                         std::int64_t at) const;

  std::map<std::string, std::vector<Version>> keys_;
  std::int64_t revision_ = 1;
};

// Equal but for headers, nested ones included.
bool same_answer(const AnyResponse& a, const AnyResponse& b);
// Equal as sets by key, prev_kv left aside.
bool same_events(std::vector<store::Event> a, std::vector<store::Event> b);
Revision revision_of(const AnyResponse& response);

}  // namespace lockstep::sim
