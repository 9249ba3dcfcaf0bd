// Inside of the state machine, shared by its parts: plain data, changed only by the Applier and by recovery.
// Contract: state_machine.h. Not for other folders.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/ids.h"
#include "store/auth.h"
#include "store/clients.h"
#include "store/digest.h"
#include "store/history.h"
#include "store/index.h"
#include "store/leases.h"
#include "store/space.h"
#include "store/state_machine.h"

namespace lockstep::store {

class StateMachine::State {
 public:
  State(StateMachineOptions options_given, ColdHistory* cold)
      : options(options_given), history(options_given.history, cold) {}

  StateMachineOptions options;
  LogIndex applied_index;
  Term applied_term;
  Revision revision{1};
  Revision compacted{-1};  // -1: never compacted; etcd tells this apart from 0
  std::int64_t store_time_ms = 0;
  // The store clock before the first entry of applied_term, and how old a confirmation may have been by which
  // the leader before renewed leases (0026). The very first term has no leader before.
  std::int64_t term_began_ms = 0;
  Index index;
  History history;
  LeaseTable leases;
  ClientTable clients;
  AuthState auth;
  SpaceAccount space;
  std::vector<Alarm> alarms;  // sorted
  DigestChain digests;

  // Tombstones in the order they were made; an entry whose node was put again since is ignored. A node is
  // freed by the entry of its newest deletion, which is the last one naming it.
  struct Buried {
    Revision revision;
    Node* node;
  };
  std::deque<Buried> tombstones;
  bool restoring = false;
  bool state_row_restored = false;

  // Drops compacted tombstones from the index. False: none is left.
  bool reclaim(std::size_t steps_max, std::vector<std::string>* reclaimed_keys);
  [[nodiscard]] StateRow state_row() const;
  [[nodiscard]] Status check_space() const;
  // What is stored is a lower bound: the term's beginning gave every lease its whole time once more, from the
  // last moment at which the leader before may have renewed it.
  [[nodiscard]] std::int64_t deadline_ms(const LeaseTerms& terms) const {
    return std::max(terms.deadline_ms, lease_deadline_ms(term_began_ms, terms.ttl_ms));
  }
};

}  // namespace lockstep::store
