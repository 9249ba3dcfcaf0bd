// Applies one entry to the state. Contract: state_machine.h. Not for other folders.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/command.h"
#include "store/effect.h"
#include "store/reader.h"
#include "store/result.h"
#include "store/state.h"

namespace lockstep::store {

class Applier {
 public:
  Applier(StateMachine::State& state, LogIndex index, Term term, ResultSink* sink,
          EffectBlockBuilder& builder)
      : state_(state), index_(index), term_(term), sink_(sink), builder_(builder) {}

  Applied apply(std::string_view payload);

 private:
  // Commands are read in groups, so that the memory their keys need is on its way before it is used.
  struct Pending {
    Command command;
    std::uint64_t hash = 0;
    Node* node = nullptr;
  };
  static constexpr std::size_t group_size = 16;

  Status run(std::string_view payload);
  Status check_digest(const DigestCheck& check) const;
  void expire_leases();
  void prepare(std::span<Pending> group);
  Status execute(Pending& pending);
  [[nodiscard]] Status authorise(const Command& command) const;
  CommandResult dispatch(Pending& pending);
  void close_planted(const Pending& pending);
  void finish();

  CommandResult do_put(const PutCommand& put, std::uint64_t hash, Node* node);
  CommandResult do_delete_range(const DeleteRangeCommand& removal);
  CommandResult do_txn(const TxnRequest& txn);
  CommandResult do_compact(const CompactCommand& compact);
  CommandResult do_lease_grant(const LeaseGrantCommand& grant);
  CommandResult do_lease_revoke(const LeaseRevokeCommand& revoke);
  CommandResult do_lease_renew(const LeaseRenewCommand& renew);
  CommandResult do_alarm(const AlarmRequest& alarm);
  CommandResult do_register_client(Principal principal);
  CommandResult do_auth(const AuthChange& change);

  // Transactions (apply_txn.cc).
  Status check_txn(const TxnRequest& txn, std::span<const char> path) const;
  Status run_txn(const TxnRequest& txn, std::span<const char> path, std::size_t* consumed,
                 TxnResponse* response);
  Result<ResponseOperation> run_operation(const RequestOperation& operation, std::span<const char> path,
                                          std::size_t* consumed);

  // Changes (all of them): one revision stays open over the changes of one command.
  [[nodiscard]] Revision visible_revision() const {
    return changing_ ? state_.revision.next() : state_.revision;
  }
  void open_revision();
  void close_revision();
  void write(std::string_view key, std::uint64_t hash, Node* node, std::string_view value, LeaseId lease);
  void remove(Node* node);
  // The link and, if it may be gone from history, the row before: effect.h invariants 3 and 4.
  [[nodiscard]] Revision previous_revision(const Node& node) const;
  [[nodiscard]] std::optional<RowView> previous_row(const Node& node) const;
  std::int64_t remove_range(const KeyRange& range, bool prev_kv, std::vector<KeyValue>* prev_kvs);
  void end_lease(LeaseId id);
  void set_lease(LeaseId id, LeaseTerms terms);

  [[nodiscard]] Reader reader() const {
    return {state_.index, state_.history, visible_revision(), state_.compacted};
  }
  // Somebody wants the answer of the present command.
  [[nodiscard]] bool answering() const { return answering_; }

  StateMachine::State& state_;
  LogIndex index_;
  Term term_;
  ResultSink* sink_;
  EffectBlockBuilder& builder_;
  Applied applied_;
  std::size_t position_ = 0;
  std::size_t payload_bytes_ = 0;
  bool block_open_ = false;
  bool changing_ = false;
  bool answering_ = false;
};

}  // namespace lockstep::store
