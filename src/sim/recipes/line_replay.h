// Who stands in a line, replayed from the store's effects: keys in the order of their creation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "store/types.h"

namespace lockstep::sim {

class LineReplay {
 public:
  enum class Change : std::uint8_t { none, joined, left, waiter_left };

  // An event of one of the line's keys.
  Change apply(const store::Event& event) {
    const auto known = created_.find(event.kv.key);
    if (event.kind == store::EventKind::put) {
      if (known != created_.end()) return Change::none;
      created_.emplace(event.kv.key, event.kv.create_revision);
      places_.emplace(event.kv.create_revision, event.kv.key);
      return Change::joined;
    }
    if (known == created_.end()) return Change::none;
    const bool first = places_.begin()->first == known->second;
    places_.erase(known->second);
    created_.erase(known);
    return first ? Change::left : Change::waiter_left;
  }

  [[nodiscard]] std::size_t size() const { return places_.size(); }
  // How many stand before this place; nothing: nobody stands there. Who shares is not held up by others who
  // do.
  [[nodiscard]] std::optional<std::size_t> before(const std::string& key, Revision created,
                                                  bool shared) const {
    const auto place = places_.find(created);
    if (place == places_.end() || place->second != key) return std::nullopt;
    std::size_t count = 0;
    for (auto earlier = places_.begin(); earlier != place; ++earlier) {
      if (!shared || !is_shared(earlier->second)) ++count;
    }
    return count;
  }
  [[nodiscard]] std::string describe() const {
    if (places_.empty()) return "nobody";
    return places_.begin()->second + " since " + std::to_string(places_.begin()->first.value());
  }

 private:
  static bool is_shared(const std::string& key) { return key.contains("/r/"); }

  std::map<std::string, Revision> created_;
  std::map<Revision, std::string> places_;  // a revision creates one key of a line
};

}  // namespace lockstep::sim
