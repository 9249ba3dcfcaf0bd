// The documents of transactions that are under way, as far as there is room: what is missing is read again.
//
// They come from reads and, one by one, from a watch that may be behind those reads, or behind the watch of
// states: an entry knows the revision of the store up to which it is whole. What is older than that changes
// nothing, and one that was whole only before a transaction began is not that transaction's.
//
// Memory: about bytes_max; the oldest go first. Strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/ids.h"

namespace lockstep::service::transaction {

class DocumentCache {
 public:
  struct Documents {
    std::string document;
    std::vector<std::string> registered;
  };

  explicit DocumentCache(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  // As they were at that revision.
  void put(const std::string& gid, Documents documents, Revision revision) {
    const auto known = places_.find(gid);
    if (known != places_.end() && known->second->revision >= revision) return;
    erase(gid);
    Entry entry{gid, std::move(documents), 0, revision};
    entry.bytes = 128 + gid.size() + entry.documents.document.size();
    for (const std::string& branch : entry.documents.registered) entry.bytes += branch.size() + 32;
    bytes_ += entry.bytes;
    order_.push_back(std::move(entry));
    places_[gid] = std::prev(order_.end());
    while (bytes_ > bytes_max_) {
      const std::string oldest = order_.front().gid;
      erase(oldest);
    }
  }
  // One more branch of a known one; otherwise it is of no use.
  void add(const std::string& gid, std::string branch, Revision revision) {
    const auto found = places_.find(gid);
    if (found == places_.end()) return;
    Entry& entry = *found->second;
    if (revision <= entry.revision) return;
    entry.revision = revision;
    entry.bytes += branch.size() + 32;
    bytes_ += branch.size() + 32;
    entry.documents.registered.push_back(std::move(branch));
  }
  // Null unless it is there with so many branches; `created` is the revision the transaction is of.
  [[nodiscard]] const Documents* find(const std::string& gid, std::int64_t branches, Revision created) const {
    const auto found = places_.find(gid);
    if (found == places_.end() || found->second->revision < created) return nullptr;
    const Documents& documents = found->second->documents;
    return std::cmp_equal(documents.registered.size(), branches) ? &documents : nullptr;
  }
  void erase(const std::string& gid) {
    const auto found = places_.find(gid);
    if (found == places_.end()) return;
    bytes_ -= found->second->bytes;
    order_.erase(found->second);
    places_.erase(found);
  }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string gid;
    Documents documents;
    std::size_t bytes = 0;
    Revision revision;
  };
  std::size_t bytes_max_;
  std::size_t bytes_ = 0;
  std::list<Entry> order_;
  std::unordered_map<std::string, std::list<Entry>::iterator> places_;
};

}  // namespace lockstep::service::transaction
