// How a new cluster comes to be, so that a wiped member is never taken for a new one (F19).
//
// A founder with an empty directory cannot know whether the cluster is new or its own directory was wiped,
// and a wiped member that votes can elect a leader without entries it once acknowledged. So a cluster is born
// once: each founder draws an IncarnationId with its directory and asks all the others. When every founder
// answered "not born either", the list of all incarnations is the birth certificate; it is stored, and only
// then may the member vote. A founder that meets a certificate naming its own incarnation adopts it. One that
// meets a certificate with another incarnation of itself was wiped: it joins without a vote until the leader
// restores it (docs/decisions/0013-birth-certificate.md).
//
// Messages may be late: "not born" that was said to an earlier life of the registrar must not count for the
// present one, which may have been wiped since. So whoever speaks names the life it speaks to.
//
// The price: all founders must be reachable once, at the very first start. A lone founder is born at once.
//
// Invariant: certificates that any two members of one cluster hold are equal, or one of their holders is no
// founder.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/ids.h"
#include "base/status.h"
#include "env/disk.h"

namespace lockstep::replica {

using Certificate = std::map<NodeId, IncarnationId>;

std::string encode_certificate(const Certificate& certificate);
// Errors: corruption.
Result<Certificate> decode_certificate(std::string_view bytes);

enum class BirthState : std::uint8_t {
  waiting,   // not born: no vote, no campaign, raft messages are ignored
  born,      // this incarnation is in the certificate: a full voter
  doubtful,  // the cluster was born with another incarnation of this member, or without it
};

class Birth {
 public:
  // Reads the stored certificate, if there is one. `founders` empty: a member that joins, doubtful from the
  // start.
  static Result<Birth> load(env::Disk& disk, NodeId self, IncarnationId incarnation,
                            std::vector<NodeId> founders);

  // Whether a certificate is stored: not before a member is born.
  static Result<bool> is_recorded(env::Disk& disk);

  [[nodiscard]] BirthState state() const { return state_; }
  // What to tell whoever asks, and to ask with: the own incarnation, and the certificate if born.
  [[nodiscard]] std::string message(NodeId to) const;
  // Of the cluster, not only a record of its own. Members that join keep one, too: a founder that is wiped
  // when all the others have left must still find it.
  [[nodiscard]] bool has_certificate() const { return certificate_.size() > 1; }
  // The sender is not born and would like to hear.
  [[nodiscard]] static bool is_question(std::string_view message);
  // The leader found this member caught up: from now on this incarnation is trusted.
  Status restore_vote();
  // What another founder said. True if the state changed: then the certificate is durable. Errors: corruption
  // (not a message), or the disk's.
  Result<bool> receive(NodeId from, std::string_view message);

 private:
  Birth(env::Disk& disk, NodeId self, IncarnationId incarnation, std::vector<NodeId> founders);
  Status become_born(Certificate certificate);
  Status inherit(Certificate certificate);

  env::Disk* disk_;
  NodeId self_;
  IncarnationId incarnation_;
  std::vector<NodeId> founders_;
  Certificate heard_;   // the last incarnation each founder spoke with
  Certificate unborn_;  // registrar: those who said so to this incarnation
  Certificate certificate_;
  BirthState state_ = BirthState::waiting;
};

}  // namespace lockstep::replica
