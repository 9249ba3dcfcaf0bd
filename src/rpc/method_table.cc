#include "rpc/method_table.h"

#include <utility>

#include "base/assert.h"
#include "rpc/call.h"

namespace lockstep::rpc {
namespace {

// As many as a busy server has at once; a burst's others are freed.
constexpr std::size_t free_calls_max = 4096;

}  // namespace

MethodTable::MethodTable() = default;
MethodTable::~MethodTable() = default;

Method& MethodTable::add(std::string_view path) {
  LS_MUST(path.starts_with('/'));
  const auto [at, added] = methods_.emplace(path, std::make_unique<Method>());
  LS_MUST(added, "a path is registered once");
  at->second->path = path;
  by_path_.emplace(at->second->path, at->second.get());
  return *at->second;
}

std::string MethodTable::why_unknown(std::string_view path) const {
  const std::size_t slash = path.rfind('/');
  if (!path.starts_with('/') || slash == 0 || slash == std::string_view::npos)
    return "malformed method name: \"" + std::string(path) + '"';
  const std::string prefix(path.substr(0, slash + 1));
  const std::string service = prefix.substr(1, slash - 1);
  const auto after = methods_.lower_bound(prefix);
  if (after == methods_.end() || !after->first.starts_with(prefix)) return "unknown service " + service;
  return "unknown method " + std::string(path.substr(slash + 1)) + " for service " + service;
}

std::shared_ptr<Call> MethodTable::take_call(const std::shared_ptr<MethodTable>& table) {
  std::unique_ptr<Call> call;
  if (table->free_.empty()) {
    call = std::make_unique<Call>();
  } else {
    call = std::move(table->free_.back());
    table->free_.pop_back();
  }
  return {call.release(), [table](Call* done) { table->take_back(done); }};
}

void MethodTable::take_back(Call* call) {
  std::unique_ptr<Call> owned(call);
  if (free_.size() >= free_calls_max) return;
  owned->recycle();
  free_.push_back(std::move(owned));
}

}  // namespace lockstep::rpc
