#include "store/testing/machine.h"

#include <utility>

#include "base/assert.h"

namespace lockstep::store::testing {

void Answers::on_result(std::size_t position, CommandResult result) {
  LS_MUST(position == results.size());
  results.push_back(std::move(result));
}

Rows dump(StateMachine& machine) {
  Rows rows;
  machine.for_each_meta_row(
      [&](std::string_view key, std::string_view row) { rows.meta.emplace_back(key, row); });
  machine.for_each_current_row(
      [&](std::string_view key, std::string_view row) { rows.current.emplace_back(key, row); });
  for (const auto& block : machine.history().blocks()) rows.history.emplace_back(block->encoded());
  for (const auto& [key, row] : machine.history().pinned_rows()) rows.pinned.emplace_back(key, row);
  return rows;
}

Status restore(const Rows& rows, StateMachine* machine) {
  machine->begin_restore();
  for (const auto& [key, row] : rows.meta) LS_RETURN_IF_ERROR(machine->restore_meta_row(key, row));
  for (const auto& [key, row] : rows.current) LS_RETURN_IF_ERROR(machine->restore_current_row(key, row));
  for (const std::string& block : rows.history) LS_RETURN_IF_ERROR(machine->restore_history_block(block));
  for (const auto& [key, row] : rows.pinned) machine->restore_pinned_row(key, row);
  return machine->finish_restore();
}

Applied Machine::apply(std::string_view payload, ResultSink* sink) {
  return machine_->apply(machine_->applied_index().next(), term, payload, sink);
}

std::vector<CommandResult> Machine::entry(const std::function<void(BatchBuilder&)>& fill) {
  BatchBuilder batch;
  batch.start({.store_time_ms = time_ms});
  fill(batch);
  Answers answers;
  const std::size_t count = batch.count();
  last = apply(batch.take(), &answers);
  LS_MUST(last.fatal.ok());
  LS_MUST(answers.results.size() == count);
  return std::move(answers.results);
}

CommandResult Machine::one(const std::function<bool(BatchBuilder&)>& add) {
  return std::move(entry([&](BatchBuilder& batch) { LS_MUST(add(batch)); }).at(0));
}

void Machine::restart() {
  auto restored = std::make_unique<StateMachine>(options_);
  const Status status = restore(dump(*machine_), restored.get());
  LS_MUST(status.ok());
  LS_MUST(restored->digest() == machine_->digest());
  LS_MUST(restored->bytes_in_use() == machine_->bytes_in_use());
  machine_ = std::move(restored);
}

}  // namespace lockstep::store::testing
