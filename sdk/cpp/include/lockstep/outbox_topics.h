// From an outbox (lockstep/participant/outbox.h) to topics: a row's topic is the topic's name, its key and
// payload are the message's.
//
//   lockstep::OutboxRelay relay(sessions, lockstep::publish_to_topics(client, "/shop/orders"));
//   std::jthread thread([&](const std::stop_token& stop) { relay.run(stop); });
//
// Guarantee: each row is in its topic at least once, those of one key in their order. Each message is the
// event (source, row.id): one that is there twice, because a relay died before it removed the row, is known
// by its identity(). A row whose message is refused for good (too large, no such topic) counts as failed;
// while nobody can be reached, or an outcome is not known, nothing is counted, and all of it comes again.
//
// Cost: up to 256 rows a call, one call after the other; blocks the relay's thread. Links lockstep::lockstep
// and lockstep::participant.
#pragma once

#include <cstddef>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "lockstep/abi.h"
#include "lockstep/client.h"
#include "lockstep/participant/outbox.h"

namespace lockstep::LOCKSTEP_INLINE v1 {

namespace detail {

class TopicPublisher {
 public:
  TopicPublisher(Client& client, std::string source) : client_(&client), source_(std::move(source)) {}

  std::vector<OutboxResult> operator()(std::span<const OutboxRow> rows) const {
    std::vector<OutboxResult> results;
    std::set<std::pair<std::string, std::string>> failed;  // (topic, key): what follows of it waits
    while (!rows.empty()) {
      const std::span<const OutboxRow> together = rows.first(length_of(rows));
      publish(together, failed, results);
      rows = rows.subspan(together.size());
    }
    return results;
  }

 private:
  // What goes into one call becomes one block of each partition, all of it or nothing: were it several, a
  // later one could be there without the earlier.
  static constexpr std::size_t rows_max = 256;
  static constexpr std::size_t bytes_max = 256 * 1024;
  static constexpr std::size_t row_overhead_bytes = 512;

  static std::size_t length_of(std::span<const OutboxRow> rows) {
    std::size_t length = 0;
    std::size_t bytes = 0;
    for (const OutboxRow& row : rows) {
      bytes += row.key.size() + row.payload.size() + row_overhead_bytes;
      const bool fits = length < rows_max && bytes <= bytes_max && row.topic == rows.front().topic;
      if (length > 0 && !fits) break;
      ++length;
    }
    return length;
  }

  Outcome<std::vector<TopicPosition>> send(std::span<const OutboxRow> rows) const {
    std::vector<TopicMessage> messages;
    for (const OutboxRow& row : rows) {
      messages.emplace_back(row.key, row.payload);
      messages.back().event(source_, std::to_string(row.id));
    }
    return client_->topic(rows.front().topic).publish(messages).wait();
  }

  static bool is_refused_for_good(Code code) {
    return code == Code::invalid_argument || code == Code::not_found || code == Code::out_of_range ||
           code == Code::permission_denied;
  }

  void publish(std::span<const OutboxRow> rows, std::set<std::pair<std::string, std::string>>& failed,
               std::vector<OutboxResult>& results) const {
    bool whole = true;
    for (const OutboxRow& row : rows) whole = whole && !failed.contains({row.topic, row.key});
    if (whole) {
      const auto sent = send(rows);
      if (sent) {
        results.insert(results.end(), rows.size(), OutboxResult::acknowledged());
        return;
      }
      if (!is_refused_for_good(sent.code())) throw std::runtime_error(sent.error().to_string());
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {  // which of them it is
      const OutboxRow& row = rows[i];
      const bool waits = !row.key.empty() && failed.contains({row.topic, row.key});
      if (waits) {
        results.push_back(OutboxResult::skipped());
        continue;
      }
      const auto sent = send(rows.subspan(i, 1));
      if (!sent && !is_refused_for_good(sent.code())) throw std::runtime_error(sent.error().to_string());
      if (!sent) failed.emplace(row.topic, row.key);
      results.push_back(sent ? OutboxResult::acknowledged() : OutboxResult::failed(sent.error().to_string()));
    }
  }

  Client* client_;
  std::string source_;
};

}  // namespace detail

// `source`: who sends, as CloudEvents name it; the same for every relay of this outbox. The client outlives
// what comes of it.
inline OutboxRelay::Publish publish_to_topics(Client& client, std::string source) {
  return detail::TopicPublisher(client, std::move(source));
}

}  // namespace lockstep::LOCKSTEP_INLINEv1
