// The RequestId table: which mutations of which client took effect, and what was answered (I7, blueprint
// decision 9). Replicated: every member keeps it, and its rows are in snapshots.
//
// Invariants:
//   1. A (client, sequence) is executed at most once, ever: kept answers are repeated; a sequence below
//      unanswered_first, an unknown or an evicted client is refused, never executed.
//   2. A client belongs to the user who registered it, or to nobody: under its id others could take its
//      sequences, and see its answers.
//   3. A client has at most limits::client_window_max kept answers, all answers together at most
//      limits::client_answers_bytes_max: above it, and above limits::clients_max, the clients least recently
//      used by log position are evicted. Never the one being served.
//
// Strand: the core strand only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/status.h"
#include "store/principal.h"
#include "store/result.h"
#include "store/rows.h"

namespace lockstep::store {

struct ClientLimits {
  std::size_t clients_max;
  std::size_t window_max;
  std::size_t answer_bytes_max;
  std::size_t answers_bytes_max;
};
// From base/limits.h. The same on every member.
ClientLimits default_client_limits();

class ClientTable {
 public:
  explicit ClientTable(ClientLimits limits = default_client_limits());
  ~ClientTable();
  ClientTable(const ClientTable&) = delete;
  ClientTable& operator=(const ClientTable&) = delete;

  // A new client, named by where it was registered. Row changes go to *meta, here and below.
  // `owner` zero: nobody's.
  ClientId register_client(LogIndex index, std::size_t position, std::vector<MetaChange>* meta,
                           UserId owner = {});

  // The client may be used by this user. Unknown clients are nobody's.
  [[nodiscard]] bool belongs_to(ClientId id, UserId user) const;
  // The request took effect, and its answer is kept.
  [[nodiscard]] bool has_answer(const RequestId& request_id) const;
  // Before executing: nothing (go on), or what to answer instead.
  std::optional<CommandResult> admit(const RequestId& request_id, LogIndex index,
                                     std::vector<MetaChange>* meta);
  // After executing what admit() let pass.
  void keep(const RequestId& request_id, const CommandResult& result, std::vector<MetaChange>* meta);

  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] std::size_t answers_bytes() const;

  Status restore_client(ClientId id, std::string_view row);
  Status restore_answer(ClientId id, Sequence sequence, std::string_view row);
  // Answers whose client is missing are corruption.
  Status finish_restore();
  void for_each_row(const std::function<void(std::string_view, std::string_view)>& visit) const;

 private:
  struct Tables;
  struct Client;
  void evict(ClientId kept, std::vector<MetaChange>* meta);
  void remove(ClientId id, std::vector<MetaChange>* meta);
  void give_up_answered(ClientId id, Client& client, std::vector<MetaChange>* meta);

  ClientLimits limits_;
  std::unique_ptr<Tables> tables_;
};

}  // namespace lockstep::store
