// Commands: what a Raft entry carries into the state machine (docs/formats/command.md).
//
// One entry is one batch: a header and the commands of one loop turn of the leader, in order. Requests are
// validated before they are proposed (store/validate.h); the reader checks again, so a payload that breaks a
// limit or a rule never reaches the state machine.
//
// Invariants:
//   1. One batch has one encoding (the codec's shortest forms); members compare entries by bytes.
//   2. The builder never makes a batch the reader refuses, nor one above limits::entry_commands_max or
//      limits::entry_bytes_max.
//   3. store_time_ms is the leader's store clock; the state machine takes the maximum, so it never goes back.
//
// Ownership: views handed out by the reader point into the payload. Pure values, no strand.
// Errors: a malformed payload is Code::corruption and names the command by its position.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/codec.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/status.h"
#include "store/auth.h"
#include "store/principal.h"
#include "store/types.h"

namespace lockstep::store {

enum class CommandKind : std::uint8_t {
  put = 1,
  delete_range = 2,
  txn = 3,
  compact = 4,
  lease_grant = 5,
  lease_revoke = 6,
  lease_renew = 7,
  alarm = 8,
  register_client = 9,
  nothing = 10,  // moves the store clock, so that leases end
  auth = 11,     // users, roles, permissions; switching them on and off
};

// "At this index my digest was that": every member compares (I3, I9).
struct DigestCheck {
  LogIndex index;
  std::uint64_t digest = 0;
  friend bool operator==(const DigestCheck&, const DigestCheck&) = default;
};

struct BatchHeader {
  std::int64_t store_time_ms = 0;  // never negative
  std::optional<DigestCheck> digest_check;
  friend bool operator==(const BatchHeader&, const BatchHeader&) = default;
};

// The hot path: nothing is copied out of the payload.
struct PutCommand {
  std::string_view key;
  std::string_view value;
  LeaseId lease;
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;
};
struct DeleteRangeCommand {
  std::string_view key;
  std::string_view range_end;
  bool prev_kv = false;
};
struct CompactCommand {
  Revision revision;
};
struct LeaseGrantCommand {
  std::int64_t ttl_ms = 0;  // already raised to the store's smallest
  LeaseId id;               // zero: chosen while applying, the same on every member
};
struct LeaseRevokeCommand {
  LeaseId id;
};
struct LeaseRenewCommand {
  std::vector<LeaseId> ids;
};
struct RegisterClientCommand {};
struct NothingCommand {};

struct Command {
  RequestId request_id;
  Principal principal;  // who asked; judged while applying (authorise.h)
  std::variant<NothingCommand, PutCommand, DeleteRangeCommand, TxnRequest, CompactCommand, LeaseGrantCommand,
               LeaseRevokeCommand, LeaseRenewCommand, AlarmRequest, RegisterClientCommand, AuthChange>
      body;

  [[nodiscard]] CommandKind kind() const;
};

// Appends commands to one string. Each add returns false, leaving the batch as it was, when the batch is
// full: take it and start the next one. The first command of a batch always fits.
// Requires requests that passed validation.
class BatchBuilder {
 public:
  // Starts a new batch; an earlier one that was not taken is dropped.
  void start(const BatchHeader& header);
  [[nodiscard]] bool put(const PutRequest& request, const RequestId& request_id = {},
                         Principal principal = {});
  [[nodiscard]] bool delete_range(const DeleteRangeRequest& request, const RequestId& request_id = {},
                                  Principal principal = {});
  [[nodiscard]] bool txn(const TxnRequest& request, const RequestId& request_id = {},
                         Principal principal = {});
  [[nodiscard]] bool compact(const CompactRequest& request, const RequestId& request_id = {},
                             Principal principal = {});
  // The TTL is the final one (validate.h: granted_ttl()).
  [[nodiscard]] bool lease_grant(const LeaseGrantRequest& request, const RequestId& request_id = {},
                                 Principal principal = {});
  [[nodiscard]] bool lease_revoke(const LeaseRevokeRequest& request, const RequestId& request_id = {},
                                  Principal principal = {});
  // At most limits::lease_renewals_per_command_max.
  [[nodiscard]] bool lease_renew(std::span<const LeaseId> ids, Principal principal = {});
  [[nodiscard]] bool alarm(const AlarmRequest& request, const RequestId& request_id = {},
                           Principal principal = {});
  [[nodiscard]] bool register_client(Principal principal = {});
  [[nodiscard]] bool nothing();
  [[nodiscard]] bool auth(const AuthChange& change, const RequestId& request_id = {},
                          Principal principal = {});

  [[nodiscard]] bool started() const { return !payload_.empty(); }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t bytes() const { return payload_.size(); }
  // The batch; afterwards none is started.
  [[nodiscard]] std::string take();
  // The same at another store time: that of the moment at which it is complete.
  [[nodiscard]] std::string take_at(std::int64_t store_time_ms);

 private:
  void encode_header(std::string* out) const;
  template <class Encode>
  bool append(CommandKind kind, const RequestId& request_id, Principal principal, Encode encode);

  BatchHeader header_;
  std::size_t header_bytes_ = 0;
  std::string payload_;
  std::size_t count_ = 0;
};

// Walks over one batch.
//   BatchReader reader(payload);
//   Command command;
//   while (reader.next(&command)) …
//   if (!reader.status().ok()) …
class BatchReader {
 public:
  // Reads the header. The payload must outlive the reader and what it hands out.
  explicit BatchReader(std::string_view payload);

  [[nodiscard]] const BatchHeader& header() const { return header_; }
  // The next command, or false at the end and after an error.
  bool next(Command* command);
  // Position of the command that next() delivered last, from 0.
  [[nodiscard]] std::size_t position() const { return count_ - 1; }
  [[nodiscard]] const Status& status() const { return status_; }
  // What next() has not read yet, encoded.
  [[nodiscard]] std::string_view rest() const { return decoder_.rest(); }

 private:
  void read_header();
  void refuse(std::string_view why);

  Decoder decoder_;
  BatchHeader header_;
  Status status_;
  std::size_t count_ = 0;
};

// The same commands under another header: for a batch that another member filled. Reads all of it, so that
// what is proposed is well formed. Errors: corruption.
Result<std::string> restamp_batch(std::string_view payload, const BatchHeader& header);

}  // namespace lockstep::store
