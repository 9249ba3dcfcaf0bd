// Who stands in a line, replayed from the store's effects: keys in the order of their creation.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "store/types.h"

namespace lockstep::sim {

class LineReplay {
 public:
  struct Place {
    std::string key;
    Revision created;
  };
  enum class Change : std::uint8_t { none, joined, left, waiter_left };

  // An event of one of the line's keys. `served_max`: so many at the front do not wait.
  Change apply(const store::Event& event, std::size_t served_max = 1) {
    const auto known = created_.find(event.kv.key);
    if (event.kind == store::EventKind::put) {
      if (known != created_.end()) return Change::none;
      created_.emplace(event.kv.key, event.kv.create_revision);
      places_.emplace(std::pair(event.kv.create_revision, event.kv.key),
                      Place{event.kv.key, event.kv.create_revision});
      return Change::joined;
    }
    if (known == created_.end()) return Change::none;
    const std::size_t before = position(known->first, known->second);
    places_.erase(std::pair(known->second, known->first));
    created_.erase(known);
    return before < served_max ? Change::left : Change::waiter_left;
  }

  [[nodiscard]] std::optional<Place> first() const {
    if (places_.empty()) return std::nullopt;
    return places_.begin()->second;
  }
  [[nodiscard]] std::size_t size() const { return places_.size(); }
  // How many stand before this place; nothing: nobody stands there.
  [[nodiscard]] std::optional<std::size_t> before(const std::string& key, Revision created) const {
    if (!places_.contains(std::pair(created, key))) return std::nullopt;
    return position(key, created);
  }
  [[nodiscard]] std::string describe() const {
    return places_.empty() ? "nobody"
                           : places_.begin()->second.key + " since " +
                                 std::to_string(places_.begin()->second.created.value());
  }

 private:
  [[nodiscard]] std::size_t position(const std::string& key, Revision created) const {
    return static_cast<std::size_t>(std::distance(places_.begin(), places_.find(std::pair(created, key))));
  }

  std::map<std::string, Revision> created_;
  std::map<std::pair<Revision, std::string>, Place> places_;
};

}  // namespace lockstep::sim
