// One simulated file: what reads see (the page cache) and what a power cut leaves (the platter).
//
// Pages are shared between the two images and copied when written. A page that was never written is absent
// and reads as zeros, so pre-written empty files cost nothing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/prng.h"

namespace lockstep::sim {

inline constexpr std::size_t sector_bytes = 512;  // what a disk writes atomically
inline constexpr std::size_t page_bytes = 4096;
static_assert(page_bytes % sector_bytes == 0);

class FileImage {
 public:
  [[nodiscard]] std::uint64_t size() const { return size_bytes_; }
  void resize(std::uint64_t size_bytes);
  std::size_t read(std::uint64_t offset, std::span<char> buffer) const;
  // Grows the image if needed.
  void write(std::uint64_t offset, std::string_view bytes);
  // Takes [offset, offset + length) from `other`, growing to its size if needed. Whole pages are shared.
  void take(const FileImage& other, std::uint64_t offset, std::uint64_t length);

 private:
  using Page = std::array<char, page_bytes>;
  Page& own_page(std::uint64_t number);

  std::vector<std::shared_ptr<Page>> pages_;
  std::uint64_t size_bytes_ = 0;
};

// What becomes of a write once it is synced.
enum class WriteFate : std::uint8_t {
  normal,
  lost,         // acknowledged, never reaches the platter
  misdirected,  // reaches the platter at another place of the same file
};

class Inode {
 public:
  explicit Inode(std::uint64_t id) : id_(id) {}

  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] const FileImage& cached() const { return cached_; }
  [[nodiscard]] const FileImage& durable() const { return durable_; }
  [[nodiscard]] bool dirty() const { return !pending_.empty() || cached_.size() != durable_.size(); }

  // `misdirected_to` is used by that fate only.
  void write(std::uint64_t offset, std::string_view bytes, WriteFate fate, std::uint64_t misdirected_to);
  void truncate(std::uint64_t size_bytes) { cached_.resize(size_bytes); }
  void sync();
  // A failed sync: what was dirty counts as clean and never reaches the platter; of each sector the cache
  // keeps either version.
  void fail_sync(Prng& prng);
  // A power cut: of what was not synced each write reaches the platter wholly, in part (sectors, in any
  // order) or not; then the cache is gone.
  void cut_power(Prng& prng);
  // Changes both images, as damage of the medium does.
  void overwrite(std::uint64_t offset, std::string_view bytes);
  // The same bytes, all durable, in a new inode.
  [[nodiscard]] std::shared_ptr<Inode> copy(std::uint64_t id) const;

 private:
  struct Pending {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
    WriteFate fate = WriteFate::normal;
    std::uint64_t misdirected_to = 0;
  };
  void settle(const Pending& write, Prng& prng);
  void misdirect(const Pending& write);

  const std::uint64_t id_;
  FileImage cached_;
  FileImage durable_;
  std::vector<Pending> pending_;  // since the last sync, oldest first
};

}  // namespace lockstep::sim
