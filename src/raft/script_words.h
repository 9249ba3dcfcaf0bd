// The words of one command of a golden script, taken from the left. A missing or malformed word throws.
#pragma once

#include <cctype>
#include <cstdint>
#include <deque>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/ids.h"
#include "raft/message.h"

namespace lockstep::raft {

inline MessageKind kind_of(const std::string& name) {
  for (std::uint8_t kind = 1; kind <= message_kind_max; ++kind) {
    if (to_string(static_cast<MessageKind>(kind)) == name) return static_cast<MessageKind>(kind);
  }
  throw std::runtime_error("no kind of message: " + name);
}

class Words {
 public:
  explicit Words(const std::string& line) {
    std::istringstream stream(line);
    for (std::string word; stream >> word;) words_.push_back(word);
  }
  [[nodiscard]] bool empty() const { return words_.empty(); }
  std::string word() {
    if (words_.empty()) throw std::runtime_error("a word is missing");
    std::string word = words_.front();
    words_.pop_front();
    return word;
  }
  bool take(const std::string& word) {
    if (words_.empty() || words_.front() != word) return false;
    words_.pop_front();
    return true;
  }
  std::uint64_t number() { return std::stoull(word()); }
  NodeId node() { return NodeId(number()); }
  [[nodiscard]] bool number_follows() const {
    return !words_.empty() && std::isdigit(static_cast<unsigned char>(words_.front()[0])) != 0;
  }
  std::vector<NodeId> nodes() {
    std::vector<NodeId> nodes;
    while (number_follows()) nodes.push_back(node());
    return nodes;
  }

 private:
  std::deque<std::string> words_;
};

}  // namespace lockstep::raft
