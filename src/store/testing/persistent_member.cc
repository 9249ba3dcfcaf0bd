#include "store/testing/persistent_member.h"

#include <algorithm>
#include <optional>

#include "base/assert.h"

namespace lockstep::store::testing {

MemberOptions random_member_options(Prng& prng) {
  MemberOptions options;
  options.machine.history.memory_bytes_max = prng.below(20'000);
  options.machine.compaction_steps_per_entry = prng.below(20);
  options.persistence.window_bytes = prng.between(1, 4'000);
  options.persistence.fold_bytes = prng.between(1, 10'000);
  options.persistence.flush_bytes = prng.between(1, 10'000);
  options.persistence.sweep_slice = prng.between(1, 40);
  options.persistence.snapshot_slice_bytes = prng.between(1, 20'000);
  return options;
}

PersistentMember::PersistentMember(MemberOptions options, const Log& log)
    : PersistentMember(options, log, std::make_unique<MemoryHome>()) {}

PersistentMember::PersistentMember(MemberOptions options, const Log& log, std::unique_ptr<EngineHome> home)
    : options_(options), log_(log), home_(std::move(home)) {
  const Status started = start();
  LS_MUST(started.ok());
}

PersistentMember::~PersistentMember() {
  stop();
}

void PersistentMember::make_persistence() {
  persistence_ = std::make_unique<Persistence>(
      options_.persistence, *engine_, worker_,
      Persistence::Callbacks{.on_progress = [this] { pump(false); },
                             .on_fatal = [this](const Status& status) { fatal_ = status; }});
}

void PersistentMember::use(std::shared_ptr<StateMachine> machine, Recovered recovered) {
  machine_ = std::move(machine);
  persistence_->start(std::move(recovered));
}

Status PersistentMember::start() {
  LS_ASSIGN_OR_RETURN(engine_, home_->open());
  cold_ = std::make_unique<EngineHistory>(*engine_);
  auto machine = std::make_shared<StateMachine>(options_.machine, cold_.get());
  make_persistence();
  LS_ASSIGN_OR_RETURN(Recovered recovered, recover(*engine_, *machine));
  use(std::move(machine), std::move(recovered));
  return {};
}

void PersistentMember::stop() {
  persistence_.reset();
  worker_.forget();
  machine_.reset();
  cold_.reset();
  engine_.reset();
}

void PersistentMember::replay() {
  while (fatal_.ok() && machine_->applied_index().value() < log_.size()) {
    const LogIndex index = machine_->applied_index().next();
    Applied applied = machine_->apply(index, term_of(index), log_[index.value() - 1], nullptr);
    if (!applied.fatal.ok()) {
      fatal_ = applied.fatal;
      return;
    }
    persistence_->add(std::move(applied));
  }
}

void PersistentMember::settle() {
  pump(true);
  while (!worker_.idle() || !persistence_->quiet()) {
    if (!fatal_.ok()) return;
    if (worker_.idle()) {
      pump(true);
      if (worker_.idle()) return;
    }
    worker_.step();
  }
}

Status PersistentMember::crash(Prng& prng) {
  home_->power_goes();
  stop();
  home_->power_is_back(prng);
  return start();
}

Status PersistentMember::crash(engine::Position survivor) {
  stop();
  medium().crash(survivor);
  return start();
}

Result<std::string> PersistentMember::install(PersistentMember& from, Prng& prng) {
  std::optional<Result<std::shared_ptr<SnapshotSource>>> made;
  from.persistence().make_snapshot([&](auto source) { made.emplace(std::move(source)); });
  while (!made.has_value()) {
    from.pump(false);
    if (!from.worker().idle()) from.worker().step();
  }
  LS_ASSIGN_OR_RETURN(const std::shared_ptr<SnapshotSource> source, *std::move(made));
  std::string stream;
  if (prng.chance(1, 4)) {  // one that is given up
    persistence_->begin_install();
    persistence_->install_chunk(SharedBytes(std::string(snapshot_format::magic)), [](const Status&) {});
  }
  persistence_->begin_install();
  while (stream.size() < source->total_bytes()) {
    // Now and then a part is asked for again, as after a lost answer.
    const std::uint64_t offset = prng.chance(1, 5) ? prng.below(stream.size() + 1) : stream.size();
    std::optional<Result<SharedBytes>> chunk;
    from.persistence().read_snapshot(source, offset, prng.between(1, 30'000),
                                     [&](Result<SharedBytes> bytes) { chunk.emplace(std::move(bytes)); });
    while (!chunk.has_value()) {
      from.pump(false);
      if (!from.worker().idle()) from.worker().step();
    }
    LS_RETURN_IF_ERROR(chunk->status());
    const std::string_view bytes = (*chunk)->view();
    const std::size_t known = std::min<std::size_t>(stream.size() - offset, bytes.size());
    if (bytes.substr(0, known) != std::string_view(stream).substr(offset, known)) {
      return Status(Code::internal, "the stream changed between two reads");
    }
    if (known == bytes.size()) continue;
    const SharedBytes fresh = (*chunk)->slice(known, bytes.size() - known);
    stream.append(fresh.view());
    std::optional<Status> fed;
    persistence_->install_chunk(fresh, [&](Status status) { fed.emplace(std::move(status)); });
    while (!fed.has_value()) {
      pump(false);
      if (!worker_.idle()) worker_.step();
    }
    LS_RETURN_IF_ERROR(*fed);
  }
  auto machine = std::make_shared<StateMachine>(options_.machine, cold_.get());
  std::optional<Result<Recovered>> recovered;
  persistence_->finish_install(source->digest(), machine, [&](Result<Recovered> result) {
    if (result.ok()) {
      cold_->forget();
      machine_ = machine;
      persistence_->start(*std::move(result));
      recovered.emplace(Recovered());
    } else {
      recovered.emplace(result.status());
    }
  });
  while (!recovered.has_value()) {
    pump(false);
    if (!worker_.idle()) worker_.step();
  }
  LS_RETURN_IF_ERROR(recovered->status());
  return stream;
}

}  // namespace lockstep::store::testing
