#include "store/clients.h"

#include <map>
#include <utility>

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/limits.h"
#include "store/errors.h"
#include "store/result_codec.h"

namespace lockstep::store {
namespace {

// What a kept answer takes besides its bytes.
constexpr std::size_t answer_overhead_bytes = 64;

}  // namespace

struct ClientTable::Client {
  LogIndex last_used;
  Sequence unanswered_first{1};
  UserId owner;
  std::map<Sequence, std::string> answers;

  [[nodiscard]] std::string row() const {
    std::string out;
    Encoder encoder(&out);
    encoder.id(last_used);
    encoder.id(unanswered_first);
    encoder.id(owner);
    return out;
  }
};

struct ClientTable::Tables {
  absl::btree_map<ClientId, Client> clients;
  absl::btree_set<std::pair<LogIndex, ClientId>> by_last_use;
  std::size_t answers_bytes = 0;
};

ClientLimits default_client_limits() {
  return {limits::clients_max, limits::client_window_max, limits::client_answer_bytes_max,
          limits::client_answers_bytes_max};
}

ClientTable::ClientTable(ClientLimits limits) : limits_(limits), tables_(std::make_unique<Tables>()) {}
ClientTable::~ClientTable() = default;

std::size_t ClientTable::size() const {
  return tables_->clients.size();
}
std::size_t ClientTable::answers_bytes() const {
  return tables_->answers_bytes;
}

bool ClientTable::belongs_to(ClientId id, UserId user) const {
  const auto position = tables_->clients.find(id);
  return position == tables_->clients.end() ? user == UserId{} : position->second.owner == user;
}

bool ClientTable::has_answer(const RequestId& request_id) const {
  const auto position = tables_->clients.find(request_id.client);
  return position != tables_->clients.end() && position->second.answers.contains(request_id.sequence);
}

ClientId ClientTable::register_client(LogIndex index, std::size_t position, std::vector<MetaChange>* meta,
                                      UserId owner) {
  static_assert((limits::entry_commands_max & (limits::entry_commands_max - 1)) == 0);
  LS_MUST(position < limits::entry_commands_max);
  const ClientId id(index.value() * limits::entry_commands_max + position);
  Client client;
  client.last_used = index;
  client.owner = owner;
  meta->push_back({client_row_key(id), client.row()});
  const bool inserted = tables_->clients.emplace(id, std::move(client)).second;
  LS_MUST(inserted, "a place in the log is used once");
  tables_->by_last_use.emplace(index, id);
  evict(id, meta);
  return id;
}

void ClientTable::remove(ClientId id, std::vector<MetaChange>* meta) {
  const auto position = tables_->clients.find(id);
  LS_MUST(position != tables_->clients.end());
  Client& client = position->second;
  for (const auto& [sequence, answer] : client.answers) {
    tables_->answers_bytes -= answer.size() + answer_overhead_bytes;
    meta->push_back({answer_row_key(id, sequence), std::nullopt});
  }
  meta->push_back({client_row_key(id), std::nullopt});
  tables_->by_last_use.erase({client.last_used, id});
  tables_->clients.erase(position);
}

void ClientTable::evict(ClientId kept, std::vector<MetaChange>* meta) {
  while (tables_->clients.size() > limits_.clients_max ||
         tables_->answers_bytes > limits_.answers_bytes_max) {
    auto oldest = tables_->by_last_use.begin();
    if (oldest->second == kept) ++oldest;
    if (oldest == tables_->by_last_use.end()) return;
    remove(oldest->second, meta);
  }
}

void ClientTable::give_up_answered(ClientId id, Client& client, std::vector<MetaChange>* meta) {
  while (!client.answers.empty() && client.answers.begin()->first < client.unanswered_first) {
    tables_->answers_bytes -= client.answers.begin()->second.size() + answer_overhead_bytes;
    meta->push_back({answer_row_key(id, client.answers.begin()->first), std::nullopt});
    client.answers.erase(client.answers.begin());
  }
}

std::optional<CommandResult> ClientTable::admit(const RequestId& request_id, LogIndex index,
                                                std::vector<MetaChange>* meta) {
  LS_MUST(request_id.present());
  const auto position = tables_->clients.find(request_id.client);
  if (position == tables_->clients.end()) return errors::client_unknown();
  Client& client = position->second;
  tables_->by_last_use.erase({client.last_used, request_id.client});
  client.last_used = index;
  tables_->by_last_use.emplace(index, request_id.client);
  if (request_id.unanswered_first > client.unanswered_first) {
    client.unanswered_first = request_id.unanswered_first;
    give_up_answered(request_id.client, client, meta);
  }
  meta->push_back({client_row_key(request_id.client), client.row()});
  if (request_id.sequence < client.unanswered_first) return errors::request_already_answered();
  const auto answer = client.answers.find(request_id.sequence);
  if (answer != client.answers.end()) {
    auto result = decode_result(answer->second);
    LS_MUST(result.ok(), "a kept answer was encoded here, or checked when restored");
    return *std::move(result);
  }
  if (request_id.sequence - client.unanswered_first >= limits_.window_max) {
    return errors::request_window_exceeded();
  }
  return std::nullopt;
}

void ClientTable::keep(const RequestId& request_id, const CommandResult& result,
                       std::vector<MetaChange>* meta) {
  const auto position = tables_->clients.find(request_id.client);
  LS_MUST(position != tables_->clients.end());
  std::string answer = encode_result(result);
  if (answer.size() > limits_.answer_bytes_max) answer = encode_result(errors::answer_not_kept());
  tables_->answers_bytes += answer.size() + answer_overhead_bytes;
  meta->push_back({answer_row_key(request_id.client, request_id.sequence), answer});
  const bool inserted = position->second.answers.emplace(request_id.sequence, std::move(answer)).second;
  LS_MUST(inserted, "executed twice");
  LS_MUST(position->second.answers.size() <= limits_.window_max);
  evict(request_id.client, meta);
}

Status ClientTable::restore_client(ClientId id, std::string_view row) {
  Decoder decoder(row);
  // An answer may have been restored first.
  Client& client = tables_->clients[id];
  client.last_used = decoder.id<LogIndex>();
  client.unanswered_first = decoder.id<Sequence>();
  client.owner = decoder.id<UserId>();
  if (!decoder.done() || client.unanswered_first < Sequence(1) || client.last_used == LogIndex{}) {
    return {Code::corruption, "malformed client row"};
  }
  return {};
}

Status ClientTable::restore_answer(ClientId id, Sequence sequence, std::string_view row) {
  if (row.size() > limits::client_answer_bytes_max) return {Code::corruption, "kept answer is too large"};
  LS_RETURN_IF_ERROR(decode_result(row).status());
  tables_->answers_bytes += row.size() + answer_overhead_bytes;
  tables_->clients[id].answers.emplace(sequence, row);
  return {};
}

Status ClientTable::finish_restore() {
  for (const auto& [id, client] : tables_->clients) {
    if (client.last_used == LogIndex{}) return {Code::corruption, "answer row without its client"};
    if (!client.answers.empty() && client.answers.begin()->first < client.unanswered_first) {
      return {Code::corruption, "answer row below unanswered_first"};
    }
    tables_->by_last_use.emplace(client.last_used, id);
  }
  return {};
}

void ClientTable::for_each_row(const std::function<void(std::string_view, std::string_view)>& visit) const {
  for (const auto& [id, client] : tables_->clients) visit(client_row_key(id), client.row());
  for (const auto& [id, client] : tables_->clients) {
    for (const auto& [sequence, answer] : client.answers) visit(answer_row_key(id, sequence), answer);
  }
}

}  // namespace lockstep::store
