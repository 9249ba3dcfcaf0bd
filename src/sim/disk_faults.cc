// What happens to a simulated disk from outside the process that uses it.
#include <algorithm>

#include "base/assert.h"
#include "sim/disk.h"

namespace lockstep::sim {

void SimDisk::drop_orphans(Names& names) {
  std::erase_if(names, [&](const auto& item) {
    for (std::size_t slash = item.first.find('/'); slash != std::string::npos;
         slash = item.first.find('/', slash + 1)) {
      const auto parent = names.find(item.first.substr(0, slash));
      if (parent == names.end() || parent->second != nullptr) return true;
    }
    return false;
  });
}

void SimDisk::crash(Loss loss, Prng& prng) {
  std::deque<InFlight> interrupted = std::move(in_flight_);
  in_flight_.clear();
  for (InFlight& request : interrupted) {
    // A dead process leaves a prefix of its writes in the cache; of all of them a power cut chooses anyway.
    const std::size_t applied =
        loss == Loss::power ? request.writes.size() : prng.below(request.writes.size() + 1);
    for (std::size_t i = 0; i < applied; ++i) {
      request.inode->write(request.writes[i].offset, request.writes[i].bytes.view(), WriteFate::normal, 0);
    }
  }
  if (loss == Loss::power) {
    std::map<std::uint64_t, std::shared_ptr<Inode>> inodes;
    for (const Names* names : {&names_, &durable_names_}) {
      for (const auto& [path, inode] : *names) {
        if (inode != nullptr) inodes[inode->id()] = inode;
      }
    }
    for (const NameChange& change : name_changes_) {
      if (change.inode != nullptr) inodes[change.inode->id()] = change.inode;
    }
    for (const auto& [id, inode] : inodes) inode->cut_power(prng);
    // All, none, or any of the changes survive; a file system with a journal keeps a prefix.
    const std::uint64_t mode = prng.below(4);
    const std::size_t prefix = prng.below(name_changes_.size() + 1);
    for (std::size_t i = 0; i < name_changes_.size(); ++i) {
      const bool survives = mode == 0 || (mode == 1 && i < prefix) || (mode == 2 && prng.chance(1, 2));
      if (survives) apply(name_changes_[i], durable_names_);
    }
    name_changes_.clear();
    drop_orphans(durable_names_);
    names_ = durable_names_;
  }
  ++life_;
  stopped_ = false;
  frozen_ = false;
  held_completions_ = 0;
  stop_at_step_ = 0;
  on_stop_ = nullptr;
  failures_.clear();
  locks_.clear();
}

bool SimDisk::flip_bits(const std::string& path, std::uint64_t offset, std::uint64_t length,
                        std::uint64_t bits, Prng& prng) {
  const auto found = names_.find(path);
  if (found == names_.end() || found->second == nullptr) return false;
  const std::uint64_t size = found->second->cached().size();
  if (offset >= size) return false;
  length = std::min(length, size - offset);
  if (bits > length * 8) return false;
  std::set<std::uint64_t> chosen;
  while (chosen.size() < bits) chosen.insert(prng.below(length * 8));
  for (const std::uint64_t bit : chosen) {
    char byte = 0;
    found->second->cached().read(offset + bit / 8, std::span<char>(&byte, 1));
    byte = static_cast<char>(byte ^ (1 << (bit % 8)));
    found->second->overwrite(offset + bit / 8, std::string_view(&byte, 1));
  }
  return bits > 0;
}

void SimDisk::set_unreadable(const std::string& path, std::uint64_t offset, std::uint64_t length) {
  unreadable_.push_back({path, offset, length});
}

void SimDisk::wipe() {
  restore({});
}

SimDisk::Tree SimDisk::save() const {
  Tree tree;
  for (const auto& [path, inode] : names_) tree[path] = inode == nullptr ? nullptr : inode->copy(inode->id());
  return tree;
}

void SimDisk::restore(const Tree& tree) {
  LS_MUST(in_flight_.empty(), "a disk is exchanged only while no process uses it");
  names_.clear();
  name_changes_.clear();
  unreadable_.clear();
  for (const auto& [path, inode] : tree) {
    names_[path] = inode == nullptr ? nullptr : inode->copy(++inodes_made_);
  }
  names_[""] = nullptr;
  durable_names_ = names_;
}

std::vector<std::string> SimDisk::paths() const {
  std::vector<std::string> result;
  for (const auto& [path, inode] : names_) {
    if (inode != nullptr) result.push_back(path);
  }
  return result;
}

Result<std::string> SimDisk::bytes_of(const std::string& path) const {
  const auto found = names_.find(path);
  if (found == names_.end() || found->second == nullptr) return {Code::not_found, "no such file: " + path};
  std::string bytes(found->second->cached().size(), '\0');
  found->second->cached().read(0, bytes);
  return bytes;
}

Result<std::string> SimDisk::durable_bytes_of(const std::string& path) const {
  const auto found = durable_names_.find(path);
  if (found == durable_names_.end() || found->second == nullptr) {
    return {Code::not_found, "no such file: " + path};
  }
  std::string bytes(found->second->durable().size(), '\0');
  found->second->durable().read(0, bytes);
  return bytes;
}

Status SimDisk::overwrite(const std::string& path, std::uint64_t offset, std::string_view bytes) {
  const auto found = names_.find(path);
  if (found == names_.end() || found->second == nullptr) return {Code::not_found, "no such file: " + path};
  found->second->overwrite(offset, bytes);
  return {};
}

}  // namespace lockstep::sim
