#include "store/persistence.h"

#include <algorithm>
#include <optional>

#include "base/assert.h"
#include "base/planted.h"
#include "store/fold.h"
#include "store/persistence_rows.h"
#include "store/rows.h"

namespace lockstep::store {

using engine::FlushMode;
using engine::Position;
using engine::Table;
using engine::WriteBatch;

Persistence::Persistence(PersistenceOptions options, engine::Engine& engine, env::Worker& worker,
                         Callbacks callbacks)
    : options_(options), engine_(engine), worker_(worker), callbacks_(std::move(callbacks)) {}

Persistence::~Persistence() {
  *alive_ = false;
}

void Persistence::start(Recovered recovered) {
  LS_MUST(!busy_);
  pending_ = {};
  engine_index_ = durable_index_ = recovered.applied;
  engine_revision_ = durable_revision_ = recovered.revision;
  engine_compacted_ = recovered.compacted;
  undurable_.clear();
  unflushed_bytes_ = 0;
  flush_requested_ = false;
  unfolded_ = std::move(recovered.unfolded);
  unfolded_reclaimed_.clear();
  unfolded_bytes_ = 0;
  for (const auto& block : unfolded_) unfolded_bytes_ += block->encoded().size();
  folded_ = recovered.folded;
  swept_ = recovered.swept;
  sweep_.reset();
  if (swept_ <= Revision()) return;
  // A crash may have come between the end of a sweep and its discard.
  requests_.push_back([this] {
    run<Position>(
        [&engine = engine_, swept = swept_]() -> Result<Position> {
          LS_RETURN_IF_ERROR(discard_swept_history(engine, swept));
          return engine.written();
        },
        [](const Result<Position>&) {});
  });
}

void Persistence::add(Applied applied) {
  LS_MUST(applied.fatal.ok());
  if (applied.effects != nullptr) {
    pending_.bytes += applied.effects->encoded().size();
    pending_.blocks.push_back(std::move(applied.effects));
  }
  for (MetaChange& change : applied.meta) {
    pending_.bytes += change.key.size() + (change.value.has_value() ? change.value->size() : 0);
    pending_.meta.push_back(std::move(change));
  }
  add_reclaimed(std::move(applied.reclaimed_keys));
}

void Persistence::add_reclaimed(std::vector<std::string> keys) {
  for (std::string& key : keys) {
    pending_.bytes += key.size();
    pending_.reclaimed.push_back(std::move(key));
  }
}

void Persistence::set_configuration(std::string encoded) {
  pending_.bytes += encoded.size();
  pending_.meta.push_back({std::string(configuration_row_key()), std::move(encoded)});
}

template <class Value>
void Persistence::run(std::move_only_function<Result<Value>()> work,
                      std::move_only_function<void(Result<Value>)> done) {
  LS_MUST(!busy_, "one job at a time");
  busy_ = true;
  auto result = std::make_shared<std::optional<Result<Value>>>();
  worker_.submit([work = std::move(work), result]() mutable { result->emplace(work()); },
                 [this, alive = alive_, result, done = std::move(done)]() mutable {
                   if (!*alive) return;
                   LS_MUST(busy_);
                   LS_MUST(result->has_value());
                   busy_ = false;
                   const Status health = engine_.health();
                   if (!health.ok()) return fail(health);
                   done(*std::move(*result));
                   if (*alive && !failed_ && callbacks_.on_progress) callbacks_.on_progress();
                 });
}

void Persistence::fail(const Status& status) {
  LS_MUST(!status.ok());
  if (failed_) return;
  failed_ = true;
  if (callbacks_.on_fatal) callbacks_.on_fatal(status);
}

void Persistence::pump(StateMachine& machine, bool idle) {
  if (failed_) return;
  update_durable();
  machine.history().set_durable_revision(durable_revision_);
  if (busy_) return;
  if (background_turn_) {
    background_turn_ = false;
    if (start_background()) return;
  }
  background_turn_ = true;
  if (start_window(machine, idle)) return;
  start_background();
}

bool Persistence::start_background() {
  return start_flush() || start_fold() || start_sweep() || start_request();
}

bool Persistence::quiet() const {
  const bool sweep_due = engine_compacted_ > std::max(swept_, Revision(1));
  return !busy_ && pending_.bytes == 0 && requests_.empty() && sweep_ == nullptr && !sweep_due &&
         !flush_requested_ && unfolded_bytes_ < options_.fold_bytes;
}

WriteBatch Persistence::make_batch(const Window& window) {
  WriteBatch batch;
  for (const auto& block : window.blocks) {
    batch.put(Table::history, history_row_key(block->first_revision()), block, block->encoded());
  }
  // The last change of a key counts; in order of keys, so that equal windows make equal batches.
  std::vector<std::pair<std::string_view, std::size_t>> changes;
  changes.reserve(window.meta.size());
  for (std::size_t i = 0; i < window.meta.size(); ++i) changes.emplace_back(window.meta[i].key, i);
  std::ranges::sort(changes);
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (i + 1 < changes.size() && changes[i + 1].first == changes[i].first) continue;
    const MetaChange& change = window.meta[changes[i].second];
    if (change.value.has_value()) {
      batch.put(Table::meta, change.key, *change.value);
    } else {
      batch.remove(Table::meta, change.key);
    }
  }
  return batch;
}

bool Persistence::start_window(const StateMachine& machine, bool idle) {
  const bool moved = pending_.bytes > 0 || machine.applied_index() > engine_index_;
  if (!moved || (!idle && pending_.bytes < options_.window_bytes)) return false;
  LS_MUST(machine.applied_index() >= engine_index_);
  auto window = std::make_shared<Window>(std::exchange(pending_, {}));
  window->index = machine.applied_index();
  window->revision = machine.revision();
  window->compacted = std::max(machine.compacted_revision(), Revision());
  const Revision last = window->blocks.empty() ? engine_revision_ : window->blocks.back()->last_revision();
  LS_MUST(last == window->revision, "every applied entry was handed over");
  window->meta.push_back(machine.state_row());
  window->meta.push_back({std::string(key_count_row_key()), encode_count_row(machine.key_count())});
  writing_bytes_ = window->bytes;
  run<Position>([&engine = engine_, window] { return engine.write(make_batch(*window)); },
                [this, window](Result<Position> position) {
                  if (!position.ok()) return fail(position.status());
                  window_written(std::move(*window), *position);
                });
  return true;
}

void Persistence::window_written(Window window, Position position) {
  LS_MUST(window.index >= engine_index_);
  writing_bytes_ = 0;
  engine_index_ = window.index;
  engine_revision_ = window.revision;
  engine_compacted_ = window.compacted;
  undurable_.push_back({position, window.index, window.revision});
  unflushed_bytes_ += window.bytes;
  for (auto& block : window.blocks) {
    unfolded_bytes_ += block->encoded().size();
    unfolded_.push_back(std::move(block));
  }
  std::ranges::move(window.reclaimed, std::back_inserter(unfolded_reclaimed_));
}

bool Persistence::start_flush() {
  if (!flush_requested_ && unflushed_bytes_ < options_.flush_bytes) return false;
  flush_requested_ = false;
  unflushed_bytes_ = 0;
  if (undurable_.empty()) return false;
  run<Position>(
      [&engine = engine_]() -> Result<Position> {
        LS_RETURN_IF_ERROR(engine.flush(FlushMode::start));
        return engine.written();
      },
      [](const Result<Position>&) {});
  return true;
}

bool Persistence::start_fold() {
  const bool sweep_needs_it =
      engine_compacted_ > std::max(swept_, Revision(1)) && folded_ < engine_compacted_;
  if (unfolded_bytes_ < options_.fold_bytes && !sweep_needs_it) return false;
  auto rows = std::make_shared<FoldedRows>(
      FoldedInput{std::exchange(unfolded_, {}), std::exchange(unfolded_reclaimed_, {}), engine_compacted_});
  unfolded_bytes_ = 0;
  const Revision folded = engine_revision_;
  run<Position>(
      [&engine = engine_, rows, folded]() -> Result<Position> {
        // Invariant 2.
        if (!LS_PLANTED(write_back_leads_effects)) LS_RETURN_IF_ERROR(engine.flush(FlushMode::wait));
        rows->prepare();
        LS_RETURN_IF_ERROR(engine.merge_sorted(Table::current, *rows));
        WriteBatch batch;
        batch.put(Table::meta, folded_row_key(), encode_revision_row(folded));
        return engine.write(std::move(batch));
      },
      [this, folded](const Result<Position>& position) {
        if (!position.ok()) return fail(position.status());
        folded_ = folded;
      });
  return true;
}

bool Persistence::start_sweep() {
  if (sweep_ == nullptr) {
    if (engine_compacted_ <= std::max(swept_, Revision(1))) return false;
    LS_MUST(folded_ >= engine_compacted_, "a fold comes before a sweep");
    sweep_ = std::make_shared<Sweep>(engine_, swept_, engine_compacted_, engine_revision_);
  }
  run<bool>([sweep = sweep_, effects_max = options_.sweep_slice] { return sweep->slice(effects_max); },
            [this, sweep = sweep_](Result<bool> finished) {
              if (!finished.ok()) return fail(finished.status());
              if (!*finished) return;
              swept_ = sweep->target();
              sweep_.reset();
            });
  return true;
}

bool Persistence::start_request() {
  if (requests_.empty()) return false;
  env::Closure request = std::move(requests_.front());
  requests_.pop_front();
  request();
  LS_MUST(busy_);
  return true;
}

void Persistence::update_durable() {
  const Position durable = engine_.durable();
  while (!undurable_.empty() && undurable_.front().position <= durable) {
    LS_MUST(undurable_.front().index >= durable_index_);
    durable_index_ = undurable_.front().index;
    durable_revision_ = undurable_.front().revision;
    undurable_.pop_front();
  }
}

LogIndex Persistence::durable_index() {
  update_durable();
  return durable_index_;
}

Revision Persistence::durable_revision() {
  update_durable();
  return durable_revision_;
}

void Persistence::make_snapshot(std::move_only_function<void(Result<std::shared_ptr<SnapshotSource>>)> done) {
  requests_.push_back([this, done = std::move(done)]() mutable {
    run<std::shared_ptr<SnapshotSource>>(
        [&engine = engine_]() -> Result<std::shared_ptr<SnapshotSource>> {
          LS_ASSIGN_OR_RETURN(std::unique_ptr<SnapshotSource> source, SnapshotSource::open(engine));
          return std::shared_ptr<SnapshotSource>(std::move(source));
        },
        [this, done = std::move(done)](Result<std::shared_ptr<SnapshotSource>> source) mutable {
          if (!source.ok()) return done(source.status());
          measure(*std::move(source), std::move(done));
        });
  });
}

void Persistence::measure(std::shared_ptr<SnapshotSource> source,
                          std::move_only_function<void(Result<std::shared_ptr<SnapshotSource>>)> done) {
  requests_.push_back([this, source = std::move(source), done = std::move(done)]() mutable {
    run<bool>([source, bytes_max = options_.snapshot_slice_bytes] { return source->measure(bytes_max); },
              [this, source, done = std::move(done)](Result<bool> measured) mutable {
                if (!measured.ok()) return done(measured.status());
                if (*measured) return done(std::move(source));
                measure(std::move(source), std::move(done));
              });
  });
}

void Persistence::read_snapshot(std::shared_ptr<SnapshotSource> source, std::uint64_t offset,
                                std::size_t bytes_max,
                                std::move_only_function<void(Result<SharedBytes>)> done) {
  LS_MUST(source != nullptr);
  requests_.push_back(
      [this, source = std::move(source), offset, bytes_max, done = std::move(done)]() mutable {
        run<SharedBytes>(
            [source, offset, bytes_max]() -> Result<SharedBytes> {
              LS_ASSIGN_OR_RETURN(std::string bytes, source->read(offset, bytes_max));
              return SharedBytes(std::move(bytes));
            },
            std::move(done));
      });
}

void Persistence::begin_install(std::function<Status()> admit) {
  abandon_install();
  installer_ = std::make_shared<SnapshotInstaller>(engine_, std::move(admit));
}

void Persistence::install_chunk(SharedBytes bytes, std::move_only_function<void(Status)> done) {
  LS_MUST(installer_ != nullptr);
  requests_.push_back(
      [this, installer = installer_, bytes = std::move(bytes), done = std::move(done)]() mutable {
        run<bool>(
            [installer = std::move(installer), bytes = std::move(bytes)]() -> Result<bool> {
              LS_RETURN_IF_ERROR(installer->feed(bytes.view()));
              return true;
            },
            [done = std::move(done)](const Result<bool>& fed) mutable { done(fed.status()); });
      });
}

void Persistence::finish_install(std::uint64_t digest, std::shared_ptr<StateMachine> machine,
                                 std::move_only_function<void(Result<Recovered>)> done) {
  LS_MUST(installer_ != nullptr);
  requests_.push_back([this, digest, machine = std::move(machine),
                       installer = std::exchange(installer_, nullptr), done = std::move(done)]() mutable {
    auto replaced = std::make_shared<bool>(false);
    run<Recovered>(
        [&engine = engine_, digest, machine = std::move(machine), installer = std::move(installer),
         replaced]() mutable -> Result<Recovered> {
          LS_RETURN_IF_ERROR(installer->commit(digest));
          installer.reset();
          *replaced = true;
          return recover(engine, *machine);
        },
        [this, replaced, done = std::move(done)](Result<Recovered> recovered) mutable {
          // The old machine's next window would go into the new content.
          if (*replaced && !recovered.ok()) return fail(recovered.status());
          done(std::move(recovered));
        });
  });
}

void Persistence::abandon_install() {
  if (installer_ == nullptr) return;
  // What it began is taken back where it was written.
  requests_.push_back([this, installer = std::exchange(installer_, nullptr)]() mutable {
    run<bool>(
        [installer = std::move(installer)]() mutable -> Result<bool> {
          installer.reset();
          return true;
        },
        [](const Result<bool>&) {});
  });
}

}  // namespace lockstep::store
