#include "sim/disk.h"

#include <algorithm>

#include "base/assert.h"

namespace lockstep::sim {
namespace {

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

Status dead() {
  return {Code::io_error, "the simulated process is dead"};
}

Status missing(const std::string& path) {
  return {Code::not_found, "no such file: " + path};
}

bool valid_path(const std::string& path) {
  return !path.empty() && path.front() != '/' && path.back() != '/' && path.find("..") == std::string::npos &&
         path.find("//") == std::string::npos;
}

}  // namespace

class SimFile final : public env::File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<Inode> inode, std::string path, bool writable)
      : disk_(disk),
        inode_(std::move(inode)),
        path_(std::move(path)),
        life_(disk.life_),
        writable_(writable),
        disk_alive_(disk.alive_) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) override {
    if (!usable()) return dead();
    return disk_.read(*inode_, path_, offset, buffer);
  }
  Status write_at(std::uint64_t offset, std::string_view bytes) override {
    if (!usable()) return dead();
    LS_MUST(writable_, "written through a file opened for reading");
    return disk_.write(*inode_, path_, offset, bytes);
  }
  Status sync() override {
    if (!usable()) return dead();
    return disk_.sync(*inode_, path_);
  }
  void write_and_sync(std::vector<env::Write> writes, bool small, std::move_only_function<void()> meanwhile,
                      std::move_only_function<void(Status)> done) override {
    if (!usable()) return;
    LS_MUST(writable_, "written through a file opened for reading");
    disk_.write_and_sync({inode_, path_, std::move(writes), std::move(meanwhile), std::move(done)}, small);
  }
  Result<std::uint64_t> size() override {
    if (!usable()) return dead();
    return inode_->cached().size();
  }
  Status truncate(std::uint64_t size_bytes) override {
    if (!usable()) return dead();
    const bool goes_on = disk_.step();
    inode_->truncate(size_bytes);
    disk_.record("truncate " + path_ + " " + std::to_string(size_bytes));
    return goes_on ? Status() : dead();
  }

 private:
  [[nodiscard]] bool usable() const { return !disk_alive_.expired() && disk_.usable(life_); }

  SimDisk& disk_;
  std::shared_ptr<Inode> inode_;
  const std::string path_;  // when it was opened
  const std::uint64_t life_;
  const bool writable_;
  std::weak_ptr<bool> disk_alive_;
};

class SimDirectoryLock final : public env::DirectoryLock {
 public:
  SimDirectoryLock(SimDisk& disk, std::string path)
      : disk_(disk), path_(std::move(path)), life_(disk.life_), disk_alive_(disk.alive_) {}
  ~SimDirectoryLock() override {
    if (!disk_alive_.expired() && disk_.life_ == life_) disk_.locks_.erase(path_);
  }

 private:
  SimDisk& disk_;
  const std::string path_;
  const std::uint64_t life_;
  std::weak_ptr<bool> disk_alive_;
};

SimDisk::SimDisk(std::uint64_t seed, Scheduler scheduler) : prng_(seed), scheduler_(std::move(scheduler)) {
  names_[""] = nullptr;
  durable_names_[""] = nullptr;
}

SimDisk::~SimDisk() = default;

bool SimDisk::step() {
  LS_MUST(!stopped_);
  ++steps_;
  if (stop_at_step_ == 0 || --stop_at_step_ > 0) return true;
  stopped_ = true;
  if (on_stop_) on_stop_();
  return false;
}

void SimDisk::crash_at_step(std::uint64_t n, std::function<void()> stopped) {
  stop_at_step_ = n;
  on_stop_ = std::move(stopped);
}

void SimDisk::record(std::string line) {
  if (recording_) calls_.push_back(std::move(line));
}

Status SimDisk::take_failure(DiskCall call) {
  Trigger& trigger = failures_[call];
  if (trigger.left == 0 || --trigger.left > 0) return {};
  return {trigger.code, "simulated failure"};
}

void SimDisk::fail_nth(DiskCall call, std::uint64_t n, Code code) {
  failures_[call] = {n, code};
}

void SimDisk::set_write_fate(WriteFate fate, std::uint64_t n, std::string path_part) {
  fate_ = {n, fate, std::move(path_part)};
}

void SimDisk::set_delay(std::int64_t min_ns, std::int64_t max_ns) {
  LS_MUST(min_ns >= 0);
  LS_MUST(min_ns <= max_ns);
  delay_min_ns_ = min_ns;
  delay_max_ns_ = max_ns;
}

// --- bytes ---

Result<std::size_t> SimDisk::read(const Inode& inode, const std::string& path, std::uint64_t offset,
                                  std::span<char> buffer) {
  LS_RETURN_IF_ERROR(take_failure(DiskCall::read));
  for (const Range& range : unreadable_) {
    if (range.path == path && offset < range.offset + range.length && range.offset < offset + buffer.size()) {
      return {Code::io_error, "unreadable sector in " + path};
    }
  }
  return inode.cached().read(offset, buffer);
}

Status SimDisk::write(Inode& inode, const std::string& path, std::uint64_t offset, std::string_view bytes) {
  if (recording_) record("write " + path + " " + std::to_string(offset) + "+" + std::to_string(bytes.size()));
  if (offset + bytes.size() > inode.cached().size() && capacity_bytes_ != UINT64_MAX) {
    const std::uint64_t growth = offset + bytes.size() - inode.cached().size();
    if (used_bytes() + growth > capacity_bytes_)
      return {Code::resource_exhausted, "the simulated disk is full"};
  }
  if (Status failed = take_failure(DiskCall::write); !failed.ok()) {
    // A part may have arrived.
    inode.write(offset, bytes.substr(0, prng_.below(bytes.size() + 1)), WriteFate::normal, 0);
    return failed;
  }
  WriteFate fate = WriteFate::normal;
  std::uint64_t misdirected_to = 0;
  if (fate_.left > 0 && path.find(fate_.path_part) != std::string::npos && --fate_.left == 0) {
    fate = fate_.fate;
    const std::uint64_t sectors = inode.cached().size() / sector_bytes;
    misdirected_to = sectors == 0 ? 0 : prng_.below(sectors) * sector_bytes;
    if (misdirected_to == offset) misdirected_to += sector_bytes;
  }
  const bool goes_on = step();
  inode.write(offset, bytes, fate, misdirected_to);
  return goes_on ? Status() : dead();
}

Status SimDisk::sync(Inode& inode, const std::string& path) {
  if (recording_) record("sync " + path);
  if (Status failed = take_failure(DiskCall::sync); !failed.ok()) {
    inode.fail_sync(prng_);
    return failed;
  }
  if (!step()) return dead();
  inode.sync();
  return {};
}

Status SimDisk::serve(InFlight& request) {
  for (const env::Write& part : request.writes) {
    LS_RETURN_IF_ERROR(write(*request.inode, request.path, part.offset, part.bytes.view()));
  }
  if (request.on_strand && request.meanwhile) {
    at_work_ = true;
    std::exchange(request.meanwhile, nullptr)();
    at_work_ = false;
  }
  return sync(*request.inode, request.path);
}

void SimDisk::write_and_sync(InFlight request, bool small) {
  const bool inside = small && small_inside_ && in_flight_.empty() && !frozen_;
  request.on_strand = inside && works_meanwhile_;
  if (inside && !works_meanwhile_) {
    const Status status = serve(request);
    if (!stopped_) request.finish(status);
    return;
  }
  const auto spread = static_cast<std::uint64_t>(delay_max_ns_ - delay_min_ns_);
  std::int64_t delay_ns = 0;
  if (!request.on_strand) delay_ns = delay_min_ns_ + static_cast<std::int64_t>(prng_.between(0, spread));
  in_flight_.push_back(std::move(request));
  scheduler_(delay_ns, [this, life = life_, alive = std::weak_ptr<bool>(alive_)] {
    if (alive.expired() || !usable(life)) return;
    if (frozen_) {
      ++held_completions_;
    } else {
      serve_next();
    }
  });
}

void SimDisk::serve_next() {
  LS_MUST(!in_flight_.empty());
  InFlight request = std::move(in_flight_.front());
  in_flight_.pop_front();
  const Status status = serve(request);
  if (!stopped_) request.finish(status);
}

void SimDisk::thaw() {
  frozen_ = false;
  for (; held_completions_ > 0; --held_completions_) {
    scheduler_(0, [this, life = life_, alive = std::weak_ptr<bool>(alive_)] {
      if (!alive.expired() && usable(life) && !frozen_) serve_next();
    });
  }
}

// --- names ---

Result<std::unique_ptr<env::File>> SimDisk::open(const std::string& path, env::OpenMode mode) {
  LS_MUST(valid_path(path), "a path that leaves the directory tree");
  if (stopped_) return dead();
  auto found = names_.find(path);
  if (mode == env::OpenMode::create_new) {
    if (found != names_.end()) return {Code::already_exists, path + " exists"};
    if (!names_.contains(parent_of(path))) return missing(parent_of(path));
    const bool goes_on = step();
    record("create " + path);
    change_name({{}, path, std::make_shared<Inode>(++inodes_made_)});
    if (!goes_on) return dead();
    found = names_.find(path);
  }
  if (found == names_.end()) return missing(path);
  if (found->second == nullptr) return {Code::invalid_argument, path + " is a directory"};
  return {std::make_unique<SimFile>(*this, found->second, path, mode != env::OpenMode::read_only)};
}

Result<std::vector<std::string>> SimDisk::list(const std::string& directory) {
  if (stopped_) return dead();
  const auto found = names_.find(directory);
  if (found == names_.end() || found->second != nullptr) return missing(directory);
  std::vector<std::string> result;
  for (const auto& [path, inode] : names_) {
    if (!path.empty() && parent_of(path) == directory) {
      result.push_back(directory.empty() ? path : path.substr(directory.size() + 1));
    }
  }
  return result;
}

void SimDisk::apply(const NameChange& change, Names& names) {
  if (!change.from.empty()) {
    const auto old = names.find(change.from);
    // A rename whose source name already stands for another file took that name's place long ago.
    if (old != names.end() && (change.to.empty() || old->second == change.inode)) names.erase(old);
  }
  if (!change.to.empty()) names[change.to] = change.inode;
}

void SimDisk::change_name(NameChange change) {
  apply(change, names_);
  name_changes_.push_back(std::move(change));
}

Status SimDisk::create_directory(const std::string& path) {
  LS_MUST(valid_path(path), "a path that leaves the directory tree");
  if (stopped_) return dead();
  if (const auto found = names_.find(path); found != names_.end()) {
    if (found->second != nullptr) return {Code::already_exists, path + " is a file"};
    return {};
  }
  if (!names_.contains(parent_of(path))) LS_RETURN_IF_ERROR(create_directory(parent_of(path)));
  const bool goes_on = step();
  record("mkdir " + path);
  change_name({{}, path, nullptr});
  return goes_on ? Status() : dead();
}

Status SimDisk::rename(const std::string& from, const std::string& to) {
  LS_MUST(valid_path(to), "a path that leaves the directory tree");
  if (stopped_) return dead();
  const auto found = names_.find(from);
  if (found == names_.end()) return missing(from);
  if (found->second == nullptr) return {Code::unimplemented, "renaming a directory"};
  if (!names_.contains(parent_of(to))) return missing(parent_of(to));
  const bool goes_on = step();
  record("rename " + from + " " + to);
  change_name({from, to, found->second});
  return goes_on ? Status() : dead();
}

Status SimDisk::remove(const std::string& path) {
  if (stopped_) return dead();
  const auto found = names_.find(path);
  if (found == names_.end() || path.empty()) return missing(path);
  if (found->second == nullptr) {
    const auto next = std::next(found);
    if (next != names_.end() && next->first.starts_with(path + "/")) {
      return {Code::failed_precondition, path + " is not empty"};
    }
  }
  const bool goes_on = step();
  record("remove " + path);
  change_name({path, {}, found->second});
  return goes_on ? Status() : dead();
}

Status SimDisk::remove_tree(const std::string& path) {
  if (stopped_) return dead();
  std::vector<std::string> doomed;
  for (const auto& [name, inode] : names_) {
    if (name == path || name.starts_with(path + "/")) doomed.push_back(name);
  }
  for (auto name = doomed.rbegin(); name != doomed.rend(); ++name) LS_RETURN_IF_ERROR(remove(*name));
  return {};
}

Status SimDisk::sync_directory(const std::string& path) {
  if (stopped_) return dead();
  if (!names_.contains(path)) return missing(path);
  if (recording_) record("sync_directory " + path);
  LS_RETURN_IF_ERROR(take_failure(DiskCall::sync));
  if (!step()) return dead();
  std::erase_if(name_changes_, [&](const NameChange& change) {
    const bool here = (!change.to.empty() && parent_of(change.to) == path) ||
                      (!change.from.empty() && parent_of(change.from) == path);
    if (here) apply(change, durable_names_);
    return here;
  });
  return {};
}

Result<std::unique_ptr<env::DirectoryLock>> SimDisk::lock_directory(const std::string& path) {
  if (stopped_) return dead();
  if (!names_.contains(path)) return missing(path);
  if (!locks_.insert(path).second) return {Code::failed_precondition, path + " is held by another process"};
  return {std::make_unique<SimDirectoryLock>(*this, path)};
}

std::uint64_t SimDisk::used_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [path, inode] : names_) {
    if (inode != nullptr) used += inode->cached().size();
  }
  return used;
}

Result<std::uint64_t> SimDisk::free_bytes() {
  if (stopped_) return dead();
  const std::uint64_t used = used_bytes();
  return used >= capacity_bytes_ ? 0 : capacity_bytes_ - used;
}

}  // namespace lockstep::sim
