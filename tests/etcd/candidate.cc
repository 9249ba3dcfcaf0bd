#include "candidate.h"

#include <optional>

#include "base/assert.h"
#include "store/validate.h"
#include "wire_json.h"

namespace lockstep::etcd_test {
namespace {

using namespace lockstep::store;

constexpr Duration etcd_ttl_min = 2s;

class Answers : public ResultSink {
 public:
  void on_result(std::size_t position, CommandResult result) override {
    LS_MUST(position == results.size());
    results.push_back(std::move(result));
  }
  std::vector<CommandResult> results;
};

template <class Request>
Status check(const StateMachine& machine, const Request& request) {
  if constexpr (requires { machine.admit(request); }) {
    return machine.admit(request);
  } else if constexpr (requires { validate(request); }) {
    return validate(request);
  } else {
    return {};
  }
}

}  // namespace

Candidate::Candidate() : machine_(std::make_unique<StateMachine>()) {}

void Candidate::step(const Step& step) {
  const Status refused = std::visit([this](const auto& request) { return check(*machine_, request); }, step);
  const bool reads = std::holds_alternative<RangeRequest>(step) ||
                     std::holds_alternative<LeaseTimeToLiveRequest>(step) ||
                     std::holds_alternative<LeaseLeasesResponse>(step);
  if (!refused.ok() || reads) {
    flush();
    answers_.push_back(refused.ok() ? read(step) : to_json(refused));
    return;
  }
  if (!builder_.started()) builder_.start({.store_time_ms = 1000});
  if (!try_propose(step)) {
    flush();
    builder_.start({.store_time_ms = 1000});
    LS_MUST(try_propose(step));
  }
  queued_.push_back(step);
  // What is admitted depends on alarms.
  if (queued_.size() >= batch_ || std::holds_alternative<AlarmRequest>(step)) flush();
}

bool Candidate::try_propose(const Step& step) {
  if (const auto* put = std::get_if<PutRequest>(&step)) return builder_.put(*put);
  if (const auto* removal = std::get_if<DeleteRangeRequest>(&step)) return builder_.delete_range(*removal);
  if (const auto* txn = std::get_if<TxnRequest>(&step)) return builder_.txn(*txn);
  if (const auto* compact = std::get_if<CompactRequest>(&step)) return builder_.compact(*compact);
  if (const auto* grant = std::get_if<LeaseGrantRequest>(&step)) {
    return builder_.lease_grant({granted_ttl(grant->ttl, etcd_ttl_min), grant->id});
  }
  if (const auto* revoke = std::get_if<LeaseRevokeRequest>(&step)) return builder_.lease_revoke(*revoke);
  if (const auto* renew = std::get_if<LeaseKeepAliveRequest>(&step))
    return builder_.lease_renew({{renew->id}});
  return builder_.alarm(std::get<AlarmRequest>(step));
}

boost::json::value Candidate::read(const Step& step) {
  if (const auto* range = std::get_if<RangeRequest>(&step)) {
    const auto response = machine_->range(*range);
    return response.ok() ? to_json(*response) : to_json(response.status());
  }
  if (const auto* request = std::get_if<LeaseTimeToLiveRequest>(&step)) {
    return to_json(machine_->lease_time_to_live(*request, machine_->store_time_ms()));
  }
  return to_json(machine_->lease_leases());
}

void Candidate::flush() {
  if (!builder_.started()) return;
  Answers sink;
  const Applied applied = machine_->apply(machine_->applied_index().next(), Term(1), builder_.take(), &sink);
  LS_MUST(applied.fatal.ok());
  LS_MUST(sink.results.size() == queued_.size());
  for (const CommandResult& result : sink.results) {
    if (!result.ok()) {
      answers_.push_back(to_json(result.status()));
    } else if (const auto* renewed = std::get_if<LeaseRenewResponse>(&*result)) {
      LeaseKeepAliveResponse renewal = renewed->renewals.at(0);
      renewal.header = renewed->header;
      answers_.push_back(to_json(renewal));
    } else {
      answers_.push_back(to_json(*result));
    }
  }
  queued_.clear();
}

std::vector<boost::json::value> Candidate::take_answers() {
  return std::exchange(answers_, {});
}

void Candidate::restart() {
  flush();
  auto restored = std::make_unique<StateMachine>();
  restored->begin_restore();
  machine_->for_each_meta_row([&](std::string_view key, std::string_view row) {
    LS_MUST(restored->restore_meta_row(key, row).ok());
  });
  machine_->for_each_current_row([&](std::string_view key, std::string_view row) {
    LS_MUST(restored->restore_current_row(key, row).ok());
  });
  for (const auto& block : machine_->history().blocks()) {
    LS_MUST(restored->restore_history_block(std::string(block->encoded())).ok());
  }
  for (const auto& [key, row] : machine_->history().pinned_rows()) restored->restore_pinned_row(key, row);
  LS_MUST(restored->finish_restore().ok());
  LS_MUST(restored->digest() == machine_->digest());
  LS_MUST(restored->bytes_in_use() == machine_->bytes_in_use());
  machine_ = std::move(restored);
}

Known Candidate::known() const {
  Known known;
  known.revision = machine_->revision().value();
  known.compacted = machine_->compacted_revision().value();
  known.leases = machine_->lease_leases().leases;
  known.no_space = !machine_->alarms(AlarmKind::no_space).empty();
  return known;
}

}  // namespace lockstep::etcd_test
