#include "lockstep/participant/xa.h"

#include <set>
#include <utility>

#include "participant/barrier_rows.h"
#include "participant/xa_resource.h"

namespace lockstep::v1 {
namespace {

void count(XaReport& report, const BranchAnswer& answer, std::int64_t& counter, const std::string& shown) {
  if (answer.is_done()) {
    ++counter;
  } else if (answer.is_ongoing()) {
    ++report.left;
  } else {
    report.problems.push_back(shown + ": " + answer.body());
  }
}

}  // namespace

XaRecovery::XaRecovery(SqlSessions& sessions, std::string prefix)
    : sessions_(&sessions), prefix_(std::move(prefix)) {
  detail::check_xa_prefix(prefix_);
}

XaRecovery& XaRecovery::abort_unknown_after(std::chrono::seconds age) {
  abort_unknown_after_ = age;
  return *this;
}

XaReport XaRecovery::run_once(const Decide& decide) {
  const SqlSessions::Lent session = sessions_->take();
  detail::XaResource resource(*session, prefix_);
  XaReport report;
  std::set<std::string> present;
  const auto now = std::chrono::steady_clock::now();
  for (const detail::PreparedXa& found : resource.list()) {
    if (!found.name) {
      ++report.foreign;
      continue;
    }
    present.insert(found.shown);
    const auto seen = first_seen_.try_emplace(found.shown, now).first->second;
    const auto age = found.age.value_or(std::chrono::duration_cast<std::chrono::seconds>(now - seen));
    const XaDecision decision = decide(found.name->transaction);
    try {
      if (decision == XaDecision::committed) {
        count(report, resource.commit(*found.name), report.committed, found.shown);
      } else if (decision == XaDecision::aborted ||
                 (decision == XaDecision::unknown && age >= abort_unknown_after_)) {
        count(report, resource.rollback(*found.name), report.rolled_back, found.shown);
      } else {
        ++report.left;
      }
    } catch (const SqlError& error) {
      if (error.kind() == SqlError::Kind::lost) throw;
      report.problems.push_back(found.shown + ": " + error.what());
    }
  }
  std::erase_if(first_seen_, [&](const auto& one) { return !present.contains(one.first); });
  return report;
}

}  // namespace lockstep::v1
