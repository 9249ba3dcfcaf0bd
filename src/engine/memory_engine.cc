#include "engine/memory_engine.h"

#include <array>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

namespace lockstep::engine {
namespace memory_internal {

// Counts every change, batches and others; unlike a Position it never starts again.
using Moment = std::uint64_t;

struct Version {
  Moment moment;
  std::optional<SharedBytes> value;  // none: removed
};
// Ascending by moment; never empty.
using Versions = std::vector<Version>;
using Rows = std::map<std::string, Versions, std::less<>>;

struct Change {
  Moment moment;
  Table table;
  std::string key;
};

// The rows between two replacements, each with the versions that a view or a power cut may still ask for.
struct Content {
  std::array<Rows, table_count> tables;
  std::deque<Change> changes;     // that may still be undone, or have versions to prune
  std::multiset<Moment> views;    // when each open view was taken
  std::uint64_t value_bytes = 0;  // of all versions, with their keys

  void set(Moment moment, Table table, std::string_view key, std::optional<SharedBytes> value);
  void remove_range(Moment moment, Table table, std::string_view from, std::string_view to);
  void erase_range(Table table, std::string_view from, std::string_view to);
  void undo_after(Moment survivor);
  void prune(Moment floor);
};

std::uint64_t cost(std::string_view key, const Version& version) {
  return key.size() + (version.value.has_value() ? version.value->size() : 0);
}

const Version* visible(const Versions& versions, Moment moment) {
  for (auto version = versions.rbegin(); version != versions.rend(); ++version) {
    if (version->moment <= moment) return version->value.has_value() ? &*version : nullptr;
  }
  return nullptr;
}

void Content::set(Moment moment, Table table, std::string_view key, std::optional<SharedBytes> value) {
  Rows& rows = tables[index_of(table)];
  auto row = rows.find(key);
  if (row == rows.end()) {
    if (!value.has_value()) return;
    row = rows.emplace(std::string(key), Versions{}).first;
  }
  Versions& versions = row->second;
  LS_MUST(versions.empty() || versions.back().moment <= moment, "versions are added in order");
  if (!versions.empty() && versions.back().moment == moment) {
    value_bytes -= cost(key, versions.back());
    versions.back().value = std::move(value);
  } else {
    versions.push_back({moment, std::move(value)});
    changes.push_back({moment, table, row->first});
  }
  value_bytes += cost(key, versions.back());
}

void Content::remove_range(Moment moment, Table table, std::string_view from, std::string_view to) {
  Rows& rows = tables[index_of(table)];
  for (auto row = rows.lower_bound(from); row != rows.end() && row->first < to; ++row) {
    if (visible(row->second, moment) != nullptr) set(moment, table, row->first, std::nullopt);
  }
}

void Content::erase_range(Table table, std::string_view from, std::string_view to) {
  Rows& rows = tables[index_of(table)];
  auto row = rows.lower_bound(from);
  while (row != rows.end() && row->first < to) {
    for (const Version& version : row->second) value_bytes -= cost(row->first, version);
    row = rows.erase(row);
  }
}

void Content::undo_after(Moment survivor) {
  LS_MUST(views.empty(), "a power cut leaves no view");
  std::deque<Change> kept;
  for (Change& change : changes) {
    if (change.moment <= survivor || is_merged(change.table)) {
      kept.push_back(std::move(change));
      continue;
    }
    Rows& rows = tables[index_of(change.table)];
    const auto row = rows.find(change.key);
    if (row == rows.end()) continue;  // discarded
    Versions& versions = row->second;
    while (!versions.empty() && versions.back().moment > survivor) {
      value_bytes -= cost(row->first, versions.back());
      versions.pop_back();
    }
    if (versions.empty()) rows.erase(row);
  }
  changes = std::move(kept);
}

// Drops the versions that nobody can see from `floor` on.
void Content::prune(Moment floor) {
  if (!views.empty()) floor = std::min(floor, *views.begin());
  while (!changes.empty() && changes.front().moment <= floor) {
    const Change& change = changes.front();
    Rows& rows = tables[index_of(change.table)];
    const auto row = rows.find(change.key);
    if (row != rows.end()) {
      Versions& versions = row->second;
      std::size_t obsolete = 0;
      while (obsolete + 1 < versions.size() && versions[obsolete + 1].moment <= floor) ++obsolete;
      if (!versions[obsolete].value.has_value() && versions[obsolete].moment <= floor) ++obsolete;
      for (std::size_t i = 0; i < obsolete; ++i) value_bytes -= cost(row->first, versions[i]);
      versions.erase(versions.begin(), versions.begin() + static_cast<std::ptrdiff_t>(obsolete));
      if (versions.empty()) rows.erase(row);
    }
    changes.pop_front();
  }
}

}  // namespace memory_internal

using memory_internal::Content;
using memory_internal::Moment;
using memory_internal::Rows;

struct MemoryMedium::State {
  struct Discard {
    Table table;
    std::string from;
    std::string to;
  };

  mutable std::mutex mutex;
  std::shared_ptr<Content> content = std::make_shared<Content>();
  Moment now = 0;
  Moment durable_moment = 0;
  std::deque<Moment> unflushed;  // the moment of each batch after `durable`
  Position durable;
  std::vector<Discard> discards;  // waiting for views to go
  Status failure;

  [[nodiscard]] Position written() const { return durable + unflushed.size(); }
  void make_durable() {
    durable = written();
    if (!unflushed.empty()) durable_moment = unflushed.back();
    unflushed.clear();
    content->prune(durable_moment);
  }
  void discard_now() {
    if (!content->views.empty()) return;
    for (const Discard& discard : discards) content->erase_range(discard.table, discard.from, discard.to);
    discards.clear();
  }
};

MemoryMedium::MemoryMedium() : state_(std::make_unique<State>()) {}
MemoryMedium::~MemoryMedium() = default;

Position MemoryMedium::written() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->written();
}

Position MemoryMedium::durable() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->durable;
}

void MemoryMedium::crash(Position survivor) {
  const std::scoped_lock lock(state_->mutex);
  LS_MUST(survivor >= state_->durable, "what was flushed survives");
  LS_MUST(survivor <= state_->written());
  const std::uint64_t kept = survivor - state_->durable;
  const Moment moment = kept == 0 ? state_->durable_moment : state_->unflushed[kept - 1];
  state_->content->undo_after(moment);
  state_->unflushed.resize(kept);
  state_->discards.clear();
}

void MemoryMedium::fail(Status error) {
  const std::scoped_lock lock(state_->mutex);
  state_->failure = std::move(error);
}

class MemoryCursor final : public Cursor {
 public:
  MemoryCursor(std::mutex& mutex, const Rows& rows, Moment moment, std::string from, std::string to,
               Direction direction)
      : mutex_(mutex),
        rows_(rows),
        moment_(moment),
        from_(std::move(from)),
        to_(std::move(to)),
        direction_(direction) {
    const std::scoped_lock lock(mutex_);
    if (direction_ == Direction::forward) {
      settle_forward(rows_.lower_bound(from_));
    } else {
      settle_backward(to_.empty() ? rows_.end() : rows_.lower_bound(to_));
    }
  }

  [[nodiscard]] bool valid() const override { return valid_; }
  [[nodiscard]] std::string_view key() const override {
    LS_MUST(valid_);
    return key_;
  }
  [[nodiscard]] std::string_view value() const override {
    LS_MUST(valid_);
    return value_.view();
  }
  void next() override {
    LS_MUST(valid_);
    const std::scoped_lock lock(mutex_);
    if (direction_ == Direction::forward) {
      settle_forward(rows_.upper_bound(key_));
    } else {
      settle_backward(rows_.lower_bound(key_));
    }
  }
  [[nodiscard]] Status status() const override { return {}; }

 private:
  void settle_forward(Rows::const_iterator row) {
    for (valid_ = false; row != rows_.end() && (to_.empty() || row->first < to_); ++row) {
      if (take(*row)) return;
    }
  }
  // `row` is the one after the first candidate.
  void settle_backward(Rows::const_iterator row) {
    valid_ = false;
    while (row != rows_.begin()) {
      --row;
      if (row->first < from_) return;
      if (take(*row)) return;
    }
  }
  bool take(const Rows::value_type& row) {
    const auto* version = memory_internal::visible(row.second, moment_);
    if (version == nullptr) return false;
    key_ = row.first;
    value_ = *version->value;
    return valid_ = true;
  }

  std::mutex& mutex_;
  const Rows& rows_;
  const Moment moment_;
  const std::string from_;
  const std::string to_;
  const Direction direction_;
  std::string key_;
  SharedBytes value_;
  bool valid_ = false;
};

class MemoryView final : public View {
 public:
  explicit MemoryView(MemoryMedium::State& state) : state_(state) {
    const std::scoped_lock lock(state_.mutex);
    content_ = state_.content;
    moment_ = state_.now;
    content_->views.insert(moment_);
  }
  ~MemoryView() override {
    const std::scoped_lock lock(state_.mutex);
    const auto mine = content_->views.find(moment_);
    LS_MUST(mine != content_->views.end());
    content_->views.erase(mine);
  }

  Result<std::optional<std::string>> get(Table table, std::string_view key) override {
    const std::scoped_lock lock(state_.mutex);
    const Rows& rows = content_->tables[index_of(table)];
    const auto row = rows.find(key);
    if (row == rows.end()) return std::optional<std::string>();
    const auto* version = memory_internal::visible(row->second, moment_);
    if (version == nullptr) return std::optional<std::string>();
    return std::optional<std::string>(version->value->view());
  }
  std::unique_ptr<Cursor> scan(Table table, std::string_view from, std::string_view to,
                               Direction direction) override {
    return std::make_unique<MemoryCursor>(state_.mutex, content_->tables[index_of(table)], moment_,
                                          std::string(from), std::string(to), direction);
  }

 private:
  MemoryMedium::State& state_;
  std::shared_ptr<Content> content_;
  Moment moment_ = 0;
};

class MemoryReplacement final : public Replacement {
 public:
  explicit MemoryReplacement(MemoryMedium::State& state) : state_(state) {}

  Status add(Table table, std::string_view key, std::string_view value) override {
    Rows& rows = content_->tables[index_of(table)];
    if (table < table_) return {Code::invalid_argument, "replacement: tables out of order"};
    if (!rows.empty() && rows.rbegin()->first >= key) {
      return {Code::invalid_argument, "replacement: keys out of order"};
    }
    table_ = table;
    memory_internal::Versions versions{{0, SharedBytes(std::string(value))}};
    content_->value_bytes += memory_internal::cost(key, versions.back());
    rows.emplace_hint(rows.end(), std::string(key), std::move(versions));
    return {};
  }
  Status commit() override {
    const std::scoped_lock lock(state_.mutex);
    LS_MUST(content_ != nullptr, "a replacement is committed once");
    LS_RETURN_IF_ERROR(state_.failure);
    state_.make_durable();
    state_.discards.clear();
    state_.content = std::exchange(content_, nullptr);
    state_.durable_moment = state_.now;
    return {};
  }

 private:
  MemoryMedium::State& state_;
  std::shared_ptr<Content> content_ = std::make_shared<Content>();
  Table table_ = Table::meta;
};

class MemoryEngine final : public Engine {
 public:
  explicit MemoryEngine(std::shared_ptr<MemoryMedium> medium)
      : medium_(std::move(medium)), state_(*medium_->state_) {
    const std::scoped_lock lock(state_.mutex);
    state_.make_durable();
    state_.durable = Position();
  }

  Result<Position> write(WriteBatch&& batch) override {
    const WriteBatch taken = std::move(batch);
    const std::scoped_lock lock(state_.mutex);
    LS_RETURN_IF_ERROR(state_.failure);
    const Moment moment = ++state_.now;
    for (const WriteBatch::Operation& operation : taken.operations()) {
      apply(moment, operation);
    }
    state_.unflushed.push_back(moment);
    state_.discard_now();
    return state_.written();
  }

  Status merge_sorted(Table table, SortedRows& rows) override {
    LS_MUST(is_merged(table), "this table is changed by write() only");
    std::vector<std::pair<std::string, std::optional<SharedBytes>>> taken;
    while (true) {
      LS_ASSIGN_OR_RETURN(const std::optional<SortedRow> row, rows.next());
      if (!row.has_value()) break;
      LS_MUST(taken.empty() || taken.back().first < row->key, "rows are merged in order");
      std::optional<SharedBytes> value;
      if (row->value.has_value()) value.emplace(std::string(*row->value));
      taken.emplace_back(row->key, std::move(value));
    }
    const std::scoped_lock lock(state_.mutex);
    LS_RETURN_IF_ERROR(state_.failure);
    const Moment moment = ++state_.now;
    for (auto& [key, value] : taken) state_.content->set(moment, table, key, std::move(value));
    return {};
  }

  Status discard(Table table, std::string_view from, std::string_view to) override {
    LS_MUST(from <= to, "a range ends after it begins");
    const std::scoped_lock lock(state_.mutex);
    LS_RETURN_IF_ERROR(state_.failure);
    state_.discards.push_back({table, std::string(from), std::string(to)});
    state_.discard_now();
    return {};
  }

  Status flush(FlushMode) override {
    const std::scoped_lock lock(state_.mutex);
    LS_RETURN_IF_ERROR(state_.failure);
    state_.make_durable();
    return {};
  }

  [[nodiscard]] Position written() const override { return medium_->written(); }
  [[nodiscard]] Position durable() const override { return medium_->durable(); }

  Result<std::optional<std::string>> get(Table table, std::string_view key) override {
    LS_RETURN_IF_ERROR(health());
    return MemoryView(state_).get(table, key);
  }
  std::unique_ptr<View> view() override { return std::make_unique<MemoryView>(state_); }
  Result<std::unique_ptr<Replacement>> begin_replacement() override {
    LS_RETURN_IF_ERROR(health());
    return std::unique_ptr<Replacement>(std::make_unique<MemoryReplacement>(state_));
  }

  [[nodiscard]] Status health() const override {
    const std::scoped_lock lock(state_.mutex);
    return state_.failure;
  }
  [[nodiscard]] Stats stats() const override {
    const std::scoped_lock lock(state_.mutex);
    return {.memory_bytes = state_.content->value_bytes,
            .disk_bytes = state_.content->value_bytes,
            .pending_discards = state_.discards.size()};
  }

 private:
  void apply(Moment moment, const WriteBatch::Operation& operation) {
    Content& content = *state_.content;
    switch (operation.kind) {
      case WriteBatch::Kind::put:
        content.set(moment, operation.table, operation.key, SharedBytes(std::string(operation.value)));
        return;
      case WriteBatch::Kind::remove:
        content.set(moment, operation.table, operation.key, std::nullopt);
        return;
      case WriteBatch::Kind::remove_range:
        content.remove_range(moment, operation.table, operation.key, operation.value);
        return;
    }
    LS_UNREACHABLE("unknown kind of operation");
  }

  std::shared_ptr<MemoryMedium> medium_;
  MemoryMedium::State& state_;
};

std::unique_ptr<Engine> open_memory_engine(std::shared_ptr<MemoryMedium> medium) {
  LS_MUST(medium != nullptr);
  return std::make_unique<MemoryEngine>(std::move(medium));
}

}  // namespace lockstep::engine
