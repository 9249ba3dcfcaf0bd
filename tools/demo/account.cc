#include "account.h"

#include <algorithm>
#include <ctime>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/assert.h"
#include "base/limits.h"

namespace lockstep::demo {

double demo_seconds() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

std::string key_of(std::uint64_t number) {
  return fmt::format("write/{:010}", number);
}
std::string value_of(std::uint64_t number) {
  return fmt::format("the value of write number {}", number);
}

Writer::Writer(Client& client, std::size_t in_flight) : client_(client), in_flight_(in_flight) {}

void Writer::start(ClientId client_id) {
  client_id_ = client_id;
  write_more();
}

// The store keeps the answers of so many writes of one client; a late one holds the newer ones back.
void Writer::write_more() {
  constexpr std::uint64_t window = limits::client_window_max - 1;
  while (!stopping_ && active_ < in_flight_ &&
         (open_.empty() || last_number_ - open_.begin()->first < window)) {
    write_next();
  }
}

void Writer::write_next() {
  const std::uint64_t number = ++last_number_;
  ++active_;
  open_.emplace(number, true);
  client_.call(
      [this, number](store::BatchBuilder& builder) {
        store::PutRequest request;
        request.key = key_of(number);
        request.value = value_of(number);
        const bool added =
            builder.put(request, RequestId{client_id_, Sequence(number), Sequence(open_.begin()->first)});
        LS_MUST(added);
      },
      [this, number](const store::CommandResult& result) {
        --active_;
        open_.erase(number);
        if (result.ok()) {
          acknowledged_.push_back(number);
          acknowledged_at_.push_back(demo_seconds());
        } else {
          errors_.push_back(result.status().to_string());
          stopping_ = true;
        }
        write_more();
      });
}

double Writer::longest_gap_ms(double from, double to) const {
  double longest = 0;
  for (std::size_t i = 1; i < acknowledged_at_.size(); ++i) {
    if (acknowledged_at_[i] < from || acknowledged_at_[i - 1] > to) continue;
    longest = std::max(longest, acknowledged_at_[i] - acknowledged_at_[i - 1]);
  }
  return longest * 1000;
}

namespace {

constexpr std::uint64_t slice_keys = 2000;

struct Reading {
  Client& client;
  std::vector<std::uint64_t> acknowledged;  // sorted
  std::size_t next = 0;
  Account account;
  std::move_only_function<void(Account)> done;
};

void count_slice(Reading& reading, const store::RangeResponse& range, std::uint64_t last_number) {
  std::map<std::string_view, const store::KeyValue*> found;
  for (const store::KeyValue& row : range.kvs) found.emplace(row.key, &row);
  for (; reading.next < reading.acknowledged.size() && reading.acknowledged[reading.next] <= last_number;
       ++reading.next) {
    const std::uint64_t number = reading.acknowledged[reading.next];
    const auto row = found.find(key_of(number));
    if (row == found.end()) {
      ++reading.account.lost;
      continue;
    }
    ++reading.account.found;
    if (row->second->value != value_of(number)) ++reading.account.wrong;
    if (row->second->version != 1) ++reading.account.written_twice;
  }
}

void read_slice(const std::shared_ptr<Reading>& reading) {
  if (reading->next == reading->acknowledged.size()) return reading->done(reading->account);
  const std::uint64_t first_number = reading->acknowledged[reading->next];
  // A range inside a transaction is ordered in the log like a write: nothing newer can be missed.
  Client& client = reading->client;
  client.call(
      [first_number](store::BatchBuilder& builder) {
        store::RangeRequest range;
        range.key = key_of(first_number);
        range.range_end = key_of(first_number + slice_keys);
        store::TxnRequest txn;
        txn.success.push_back({range});
        const bool added = builder.txn(txn);
        LS_MUST(added);
      },
      [reading, first_number](store::CommandResult result) {
        LS_MUST(result.ok(), "the final reading was refused");
        const auto& txn = std::get<store::TxnResponse>(*result);
        count_slice(*reading, std::get<store::RangeResponse>(txn.responses.at(0).response),
                    first_number + slice_keys - 1);
        read_slice(reading);
      });
}

}  // namespace

void take_account(Client& client, const std::vector<std::uint64_t>& acknowledged,
                  std::move_only_function<void(Account)> done) {
  auto reading = std::make_shared<Reading>(Reading{client, acknowledged, 0, {}, std::move(done)});
  std::ranges::sort(reading->acknowledged);
  reading->account.acknowledged = acknowledged.size();
  read_slice(reading);
}

}  // namespace lockstep::demo
