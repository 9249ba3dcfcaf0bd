#include "watch/test_store.h"

#include <algorithm>

#include "base/assert.h"

namespace lockstep::watch::testing {
namespace {

store::RowView view_of(const store::KeyValue& kv) {
  return {kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease};
}

}  // namespace

TestStore::TestStore(WatchHubOptions options, store::ColdHistory* cold, std::size_t history_bytes)
    : history({.memory_bytes_max = history_bytes}, cold) {
  hub.emplace(history, strand, strand, std::move(options));
}

void TestStore::change(const Change& change, Revision revision, store::EffectBlockBuilder& builder) {
  Row& row = rows_[change.key];
  std::optional<store::RowView> embedded;
  if (row.exists && row.last <= history.compacted()) embedded = view_of(row.kv);
  Revision previous = row.last;
  if (!row.exists && previous <= history.compacted()) previous = {};
  store::Event& event = events_.emplace_back();
  if (row.exists) event.prev_kv = row.kv;
  if (!change.put) {
    builder.remove(change.key, previous, embedded);
    event.kind = store::EventKind::remove;
    event.kv.key = change.key;
    event.kv.mod_revision = revision;
    row.exists = false;
  } else {
    store::KeyValue kv;
    kv.key = change.key;
    kv.value = change.value;
    kv.create_revision = row.exists ? row.kv.create_revision : revision;
    kv.mod_revision = revision;
    kv.version = row.exists ? row.kv.version + 1 : 1;
    builder.put(view_of(kv), previous, embedded);
    event.kv = kv;
    row.kv = std::move(kv);
    row.exists = true;
  }
  row.last = revision;
}

void TestStore::apply(const std::vector<Changes>& revisions) {
  store::EffectBlockBuilder builder;
  builder.start(history.newest().next(), 0, 0);
  Revision revision = history.newest().next();
  for (const Changes& changes : revisions) {
    const auto has_effect = [&](const Change& one) { return one.put || rows_[one.key].exists; };
    if (std::ranges::none_of(changes, has_effect)) continue;
    builder.begin_revision(revision);
    for (const Change& one : changes) {
      if (has_effect(one)) change(one, revision, builder);
    }
    ++revision;
  }
  const auto block = builder.finish();
  if (block == nullptr) return;
  history.append(block);
  hub->on_block(*block);
}

void TestStore::compact(Revision revision) {
  history.compact(revision);
  while (history.compact_step(1000)) {
  }
}

std::unique_ptr<store::Subscription> TestStore::watch(store::WatchRequest request) {
  auto subscription = hub->watch(std::move(request));
  LS_MUST(subscription.ok());
  return *std::move(subscription);
}

std::string to_string(const store::Event& event) {
  const auto number = [](Revision revision) { return std::to_string(revision.value()); };
  std::string text = number(event.kv.mod_revision);
  text += event.kind == store::EventKind::put ? " put " + event.kv.key + "=" + event.kv.value
                                              : " remove " + event.kv.key;
  if (event.kind == store::EventKind::put) text += " v" + std::to_string(event.kv.version);
  if (event.prev_kv.has_value())
    text += " (was " + event.prev_kv->value + " at " + number(event.prev_kv->mod_revision) + ")";
  return text;
}

std::string to_string(const store::WatchResponse& answer) {
  if (answer.canceled) {
    std::string text = "cancelled: " + answer.cancel_reason;
    if (answer.compact_revision != Revision{})
      text += ", compact_revision " + std::to_string(answer.compact_revision.value());
    return text + "\n";
  }
  std::string text;
  for (const store::Event& event : answer.events) text += to_string(event) + "\n";
  text += "-- up to " + std::to_string(answer.header.revision.value());
  return text + (answer.fragment ? ", more of this revision follows\n" : "\n");
}

}  // namespace lockstep::watch::testing
