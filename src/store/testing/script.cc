#include "store/testing/script.h"

#include <algorithm>
#include <array>
#include <sstream>

#include "base/assert.h"
#include "store/testing/script_words.h"
#include "store/validate.h"

namespace lockstep::store::testing {
namespace {

constexpr StateMachineOptions patient{.compaction_steps_per_entry = 0};

std::string shown(std::string_view value) {
  if (value.empty()) return "-";
  if (value.size() >= 40) return "x" + std::to_string(value.size());
  return std::string(value);
}

std::string shown(const KeyValue& kv) {
  std::string out = kv.key + "=" + shown(kv.value) + " create " + std::to_string(kv.create_revision.value()) +
                    " mod " + std::to_string(kv.mod_revision.value()) + " version " +
                    std::to_string(kv.version);
  if (kv.lease != LeaseId{}) out += " lease " + std::to_string(kv.lease.value());
  return out;
}

class Printer {
 public:
  Printer(std::string* out, std::string indent) : out_(out), indent_(std::move(indent)) {}

  void operator()(const NothingResponse& response) { head("ok", response.header); }
  void operator()(const PutResponse& response) {
    head("put", response.header);
    if (response.prev_kv.has_value()) line("  before " + shown(*response.prev_kv));
  }
  void operator()(const DeleteRangeResponse& response) {
    head("deleted " + std::to_string(response.deleted), response.header);
    for (const KeyValue& kv : response.prev_kvs) line("  before " + shown(kv));
  }
  void operator()(const RangeResponse& response) {
    head("count " + std::to_string(response.count) + (response.more ? " more" : ""), response.header);
    for (const KeyValue& kv : response.kvs) line("  " + shown(kv));
  }
  void operator()(const TxnResponse& response) {
    head(response.succeeded ? "succeeded" : "failed", response.header);
    for (const ResponseOperation& operation : response.responses) {
      std::visit(
          [this](const auto& body) {
            if constexpr (!std::is_same_v<std::decay_t<decltype(body)>, std::monostate>) {
              Printer(out_, indent_ + "  ")(body);
            }
          },
          operation.response);
    }
  }
  void operator()(const CompactResponse& response) { head("compacted", response.header); }
  void operator()(const LeaseGrantResponse& response) {
    head("granted " + std::to_string(response.id.value()) + " for " + std::to_string(response.ttl / 1ms) +
             " ms",
         response.header);
  }
  void operator()(const LeaseRevokeResponse& response) { head("revoked", response.header); }
  void operator()(const LeaseRenewResponse& response) {
    head("renewed", response.header);
    for (const LeaseKeepAliveResponse& renewal : response.renewals) {
      line("  " + std::to_string(renewal.id.value()) + " for " + std::to_string(renewal.ttl / 1ms) + " ms");
    }
  }
  void operator()(const AlarmResponse& response) {
    head("alarms " + std::to_string(response.alarms.size()), response.header);
    for (const Alarm& alarm : response.alarms) line("  member " + std::to_string(alarm.member.value()));
  }
  void operator()(const AuthResponse& response) { head("ok", response.header); }
  void operator()(const RegisterClientResponse& response) {
    head("client " + std::to_string(response.client.value()), response.header);
  }

 private:
  void line(const std::string& text) { *out_ += indent_ + text + "\n"; }
  void head(const std::string& text, const Header& header) {
    line(text + " @" + std::to_string(header.revision.value()));
  }
  std::string* out_;
  std::string indent_;
};

LeaseId lease_of(const std::string& word) {
  return LeaseId(std::stoll(word));
}

}  // namespace

Script::Script() : machine_(patient), other_(StateMachineOptions{}) {}

std::string Script::run(const std::string& line) {
  const Words words = split(line);
  output_.clear();
  if (words.empty() ||
      (!mutation(words) && !lease_command(words) && !auth_command(words) && !inspection(words))) {
    return "unknown command\n";
  }
  return output_;
}

void Script::print(const Response& response) {
  std::visit(Printer(&output_, ""), response);
}

void Script::print(const CommandResult& result) {
  if (result.ok()) {
    print(*result);
  } else {
    output_ += result.status().to_string() + "\n";
  }
}

bool Script::refuses(const Status& status) {
  if (!status.ok()) output_ += "refused: " + status.to_string() + "\n";
  return !status.ok();
}

void Script::propose(const Status& refused, const std::function<bool(BatchBuilder&)>& add) {
  if (refuses(refused)) return;
  if (!batch_.started()) batch_.start({.store_time_ms = machine_.time_ms});
  LS_MUST(add(batch_));
  if (!gathering_) apply_batch();
}

void Script::apply_batch() {
  if (!batch_.started()) return;
  const std::string payload = batch_.take();
  Answers answers;
  machine_.last = machine_.apply(payload, &answers);
  LS_MUST(machine_.last.fatal.ok());
  LS_MUST(other_.apply(payload, nullptr).fatal.ok());
  for (const CommandResult& result : answers.results) print(result);
}

bool Script::mutation(const Words& words) {
  RequestId id;
  const Words rest = take_request_id(words, &id);
  if (words[0] == "put") {
    const PutRequest request = parse_put(rest);
    propose(machine_->admit(request),
            [&](BatchBuilder& batch) { return batch.put(request, id, principal_); });
  } else if (words[0] == "del") {
    const DeleteRangeRequest request = parse_delete(rest);
    propose(validate(request),
            [&](BatchBuilder& batch) { return batch.delete_range(request, id, principal_); });
  } else if (words[0] == "txn") {
    const TxnRequest request = parse_txn(rest);
    propose(machine_->admit(request),
            [&](BatchBuilder& batch) { return batch.txn(request, id, principal_); });
  } else if (words[0] == "compact") {
    const CompactRequest request{.revision = Revision(std::stoll(words.at(1)))};
    propose({}, [&](BatchBuilder& batch) { return batch.compact(request, id, principal_); });
  } else if (words[0] == "alarm") {
    AlarmRequest request;
    request.action = words.at(1) == "get"  ? AlarmAction::get
                     : words.at(1) == "on" ? AlarmAction::activate
                                           : AlarmAction::deactivate;
    request.alarm = {NodeId(std::stoull(words.at(2))), AlarmKind::no_space};
    propose({}, [&](BatchBuilder& batch) { return batch.alarm(request, id, principal_); });
  } else if (words[0] == "client") {
    propose({}, [&](BatchBuilder& batch) { return batch.register_client(principal_); });
  } else if (words[0] == "tick") {
    machine_.time_ms += words.size() > 1 ? std::stoll(words[1]) : 0;
    propose({}, [](BatchBuilder& batch) { return batch.nothing(); });
  } else if (words[0] == "batch") {
    gathering_ = true;
  } else if (words[0] == "end") {
    gathering_ = false;
    apply_batch();
  } else {
    return false;
  }
  return true;
}

bool Script::lease_command(const Words& words) {
  RequestId id;
  const Words rest = take_request_id(words, &id);
  if (words[0] == "grant") {
    const LeaseGrantRequest request{std::chrono::milliseconds(std::stoll(rest.at(2))), lease_of(rest.at(1))};
    propose(machine_->admit(request),
            [&](BatchBuilder& batch) { return batch.lease_grant(request, id, principal_); });
  } else if (words[0] == "revoke") {
    propose({},
            [&](BatchBuilder& batch) { return batch.lease_revoke({lease_of(rest.at(1))}, id, principal_); });
  } else if (words[0] == "renew") {
    std::vector<LeaseId> ids;
    for (std::size_t i = 1; i < words.size(); ++i) ids.push_back(lease_of(words[i]));
    propose({}, [&](BatchBuilder& batch) { return batch.lease_renew(ids, principal_); });
  } else if (words[0] == "ttl") {
    if (refuses(machine_->authoriser(principal_).check_lease_keys(lease_of(words.at(1)), Access::read)))
      return true;
    const auto response =
        machine_->lease_time_to_live({lease_of(words.at(1)), true}, machine_->store_time_ms());
    if (!response.found) {
      output_ += "no such lease\n";
      return true;
    }
    output_ += std::to_string(response.remaining / 1ms) + " of " +
               std::to_string(response.granted_ttl / 1ms) + " ms, keys";
    for (const std::string& key : response.keys) output_ += " " + key;
    output_ += "\n";
  } else if (words[0] == "leases") {
    output_ += "leases";
    for (const LeaseId lease : machine_->lease_leases().leases)
      output_ += " " + std::to_string(lease.value());
    output_ += ", next deadline ";
    output_ += machine_->next_deadline_ms() ? std::to_string(*machine_->next_deadline_ms()) : "none";
    output_ += "\n";
  } else {
    return false;
  }
  return true;
}

void Script::print_effects() {
  const auto& block = machine_.last.effects;
  if (block == nullptr) output_ += "no effects\n";
  for (std::size_t i = 0; block != nullptr && i < block->size(); ++i) {
    const EffectView effect = block->effect(i);
    output_ += std::to_string(effect.row.mod_revision.value()) + " ";
    output_ += effect.kind == EffectKind::put ? "put " + shown(effect.row.to_key_value())
                                              : "remove " + std::string(effect.row.key);
    output_ += ", previous " + std::to_string(effect.previous_revision.value());
    if (effect.previous_row.has_value()) output_ += " embedded";
    output_ += "\n";
  }
  for (const std::string& key : machine_.last.reclaimed_keys) output_ += "reclaimed " + key + "\n";
}

void Script::print_history() {
  const auto& blocks = machine_->history().blocks();
  output_ += "from " + (blocks.empty() ? "none" : std::to_string(blocks.front()->first_revision().value()));
  output_ += machine_->history().compaction_pending() ? ", compacting" : "";
  output_ += ", pinned";
  for (const auto& [key, row] : machine_->history().pinned_rows()) output_ += " " + key;
  output_ += "\n";
}

bool Script::inspection(const Words& words) {
  if (words[0] == "get") {
    const RangeRequest request = parse_range(words);
    if (refuses(validate(request))) return true;
    if (refuses(machine_->authoriser(principal_).check_read(request.key, request.range_end))) return true;
    const auto response = machine_->range(request);
    if (response.ok()) {
      Printer(&output_, "")(*response);
    } else {
      output_ += response.status().to_string() + "\n";
    }
  } else if (words[0] == "effects") {
    print_effects();
  } else if (words[0] == "history") {
    print_history();
  } else if (words[0] == "step") {
    std::vector<std::string> reclaimed;
    output_ += machine_->compaction_step(std::stoull(words.at(1)), &reclaimed) ? "more to do" : "done";
    for (const std::string& key : reclaimed) output_ += ", reclaimed " + key;
    output_ += "\n";
  } else if (words[0] == "restart") {
    machine_.restart();
  } else if (words[0] == "digest") {
    output_ += machine_->digest() == other_->digest() ? "digests are equal\n" : "DIGESTS DIFFER\n";
  } else {
    return false;
  }
  return true;
}

}  // namespace lockstep::store::testing
