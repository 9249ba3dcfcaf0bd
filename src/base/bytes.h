// Byte strings. Keys and values are bytes: std::string owns, std::string_view looks.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lockstep {

// A slice of an immutable buffer that is freed with its last slice. Copies share; safe to hand to other
// threads.
class SharedBytes {
 public:
  SharedBytes() = default;
  explicit SharedBytes(std::string bytes) {
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    view_ = *owner;
    owner_ = std::move(owner);
  }

  [[nodiscard]] std::string_view view() const { return view_; }
  [[nodiscard]] std::size_t size() const { return view_.size(); }
  [[nodiscard]] bool empty() const { return view_.empty(); }
  // A part of the same buffer. Requires offset + length <= size().
  [[nodiscard]] SharedBytes slice(std::size_t offset, std::size_t length) const {
    SharedBytes part(*this);
    part.view_ = view_.substr(offset, length);
    return part;
  }

  friend bool operator==(const SharedBytes& a, const SharedBytes& b) { return a.view_ == b.view_; }

 private:
  std::shared_ptr<const std::string> owner_;
  std::string_view view_;
};

// What is written or sent as one, without copying it together first.
using Pieces = std::vector<SharedBytes>;

inline std::size_t size_of(const Pieces& pieces) {
  std::size_t total = 0;
  for (const SharedBytes& piece : pieces) total += piece.size();
  return total;
}

}  // namespace lockstep
