#include "sim/disk_inode.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace lockstep::sim {
namespace {

bool all_zero(std::string_view bytes) {
  return bytes.empty() ||
         (bytes[0] == 0 && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

}  // namespace

void FileImage::resize(std::uint64_t size_bytes) {
  const std::uint64_t pages = (size_bytes + page_bytes - 1) / page_bytes;
  pages_.resize(pages);
  const std::uint64_t inside = size_bytes % page_bytes;
  // What lies beyond the end reads as zeros if the file grows again.
  if (size_bytes < size_bytes_ && inside != 0 && pages_.back() != nullptr) {
    Page& last = own_page(pages - 1);
    std::fill(last.begin() + static_cast<std::ptrdiff_t>(inside), last.end(), '\0');
  }
  size_bytes_ = size_bytes;
}

std::size_t FileImage::read(std::uint64_t offset, std::span<char> buffer) const {
  if (offset >= size_bytes_) return 0;
  const std::size_t total = std::min<std::uint64_t>(buffer.size(), size_bytes_ - offset);
  std::size_t done = 0;
  while (done < total) {
    const std::uint64_t at = offset + done;
    const std::size_t inside = at % page_bytes;
    const std::size_t length = std::min(total - done, page_bytes - inside);
    const auto& page = pages_[at / page_bytes];
    if (page == nullptr) {
      std::memset(buffer.data() + done, 0, length);
    } else {
      std::memcpy(buffer.data() + done, page->data() + inside, length);
    }
    done += length;
  }
  return total;
}

FileImage::Page& FileImage::own_page(std::uint64_t number) {
  std::shared_ptr<Page>& page = pages_[number];
  if (page == nullptr) {
    page = std::make_shared<Page>();
    page->fill('\0');
  } else if (page.use_count() > 1) {
    page = std::make_shared<Page>(*page);
  }
  return *page;
}

void FileImage::write(std::uint64_t offset, std::string_view bytes) {
  if (offset + bytes.size() > size_bytes_) resize(offset + bytes.size());
  while (!bytes.empty()) {
    const std::size_t inside = offset % page_bytes;
    const std::size_t length = std::min(bytes.size(), page_bytes - inside);
    const std::string_view part = bytes.substr(0, length);
    if (pages_[offset / page_bytes] != nullptr || !all_zero(part)) {
      std::memcpy(own_page(offset / page_bytes).data() + inside, part.data(), length);
    }
    offset += length;
    bytes.remove_prefix(length);
  }
}

void FileImage::take(const FileImage& other, std::uint64_t offset, std::uint64_t length) {
  const std::uint64_t end = std::min(offset + length, other.size_bytes_);
  if (end > size_bytes_) resize(end);
  while (offset < end) {
    const std::size_t inside = offset % page_bytes;
    const std::uint64_t part = std::min<std::uint64_t>(end - offset, page_bytes - inside);
    if (inside == 0 && part == page_bytes) {
      pages_[offset / page_bytes] = other.pages_[offset / page_bytes];
    } else {
      Page copy;
      const std::size_t got = other.read(offset, std::span<char>(copy.data(), part));
      write(offset, std::string_view(copy.data(), got));
    }
    offset += part;
  }
}

void Inode::write(std::uint64_t offset, std::string_view bytes, WriteFate fate,
                  std::uint64_t misdirected_to) {
  cached_.write(offset, bytes);
  if (!bytes.empty()) pending_.push_back({offset, bytes.size(), fate, misdirected_to});
}

void Inode::misdirect(const Pending& write) {
  std::string bytes(write.length, '\0');
  bytes.resize(cached_.read(write.offset, bytes));
  const std::uint64_t to = write.misdirected_to;
  if (to >= durable_.size()) return;
  bytes.resize(std::min<std::uint64_t>(bytes.size(), durable_.size() - to));
  durable_.write(to, bytes);
}

void Inode::sync() {
  durable_.resize(cached_.size());
  for (const Pending& write : pending_) {
    if (write.fate == WriteFate::normal) durable_.take(cached_, write.offset, write.length);
    if (write.fate == WriteFate::misdirected) misdirect(write);
  }
  pending_.clear();
}

void Inode::fail_sync(Prng& prng) {
  for (const Pending& write : pending_) {
    for (std::uint64_t at = write.offset / sector_bytes * sector_bytes; at < write.offset + write.length;
         at += sector_bytes) {
      if (prng.chance(1, 2)) continue;
      std::array<char, sector_bytes> old{};
      durable_.read(at, old);
      const std::uint64_t end = std::min<std::uint64_t>(at + sector_bytes, cached_.size());
      if (at < end) cached_.write(at, std::string_view(old.data(), end - at));
    }
  }
  pending_.clear();
}

void Inode::settle(const Pending& write, Prng& prng) {
  const std::uint64_t first = write.offset / sector_bytes;
  const std::uint64_t last = (write.offset + write.length - 1) / sector_bytes;
  const std::uint64_t cut = prng.between(first, last + 1);
  enum class Mode : std::uint8_t { none, all, prefix, suffix, any, count };
  const auto mode = static_cast<Mode>(prng.below(static_cast<std::uint64_t>(Mode::count)));
  for (std::uint64_t sector = first; sector <= last; ++sector) {
    bool survives = mode == Mode::all;
    if (mode == Mode::prefix) survives = sector < cut;
    if (mode == Mode::suffix) survives = sector >= cut;
    if (mode == Mode::any) survives = prng.chance(1, 2);
    if (survives) durable_.take(cached_, sector * sector_bytes, sector_bytes);
  }
}

void Inode::cut_power(Prng& prng) {
  const std::uint64_t synced_size = durable_.size();
  for (const Pending& write : pending_) {
    if (write.fate == WriteFate::normal) settle(write, prng);
  }
  if (cached_.size() != synced_size && prng.chance(1, 2)) durable_.resize(cached_.size());
  pending_.clear();
  cached_ = durable_;
}

void Inode::overwrite(std::uint64_t offset, std::string_view bytes) {
  cached_.write(offset, bytes);
  durable_.write(offset, bytes);
}

std::shared_ptr<Inode> Inode::copy(std::uint64_t id) const {
  auto result = std::make_shared<Inode>(id);
  result->cached_ = cached_;
  result->durable_ = cached_;
  return result;
}

}  // namespace lockstep::sim
