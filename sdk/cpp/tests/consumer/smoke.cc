// What every program of the package does, against a real server: both forms of a call, and that locks
// exclude.
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

#include <lockstep/lockstep.h>

namespace {

using namespace std::chrono_literals;

void must(bool condition, const std::string& what) {
  if (condition) return;
  std::cerr << "FAILED: " << what << '\n';
  std::exit(1);
}

void keys_and_values(lockstep::Client& client, const std::string& prefix) {
  const auto put = client.put(prefix + "a", "1").wait();
  must(put.is_done(), "put");
  const auto got = client.get(prefix + "a").wait();
  must(got.is_done() && got->has_value() && (*got)->value == "1", "get what was put");
  must(!client.get(prefix + "none").wait().value().has_value(), "nothing where nothing is");
  const auto created =
      client.commit(lockstep::Txn().if_version(prefix + "a", 0).put(prefix + "a", "2")).wait();
  must(created.is_done() && !created->succeeded, "a condition that does not hold");
  must(client.list(lockstep::Keys::prefix(prefix)).wait().value().items.size() == 1, "list");
  must(client.remove(lockstep::Keys::prefix(prefix)).wait().value() == 1, "remove");
}

lockstep::Task<int> coroutine(lockstep::Client& client, std::string prefix) {
  int sum = 0;
  for (int i = 0; i < 3; ++i) {
    const std::string key = prefix + std::to_string(i);
    const auto put = co_await client.put(key, std::to_string(i));
    if (!put) co_return -1;
    const auto got = co_await client.get(key);
    if (!got || !got->has_value()) co_return -2;
    sum += std::stoi((*got)->value);
  }
  co_return sum;
}

void locks(lockstep::Client& client, const std::string& name) {
  auto first = client.lock(name).acquire(lockstep::CallOptions().timeout(10s)).wait();
  must(first.is_done(), "a free lock");
  const auto second = client.lock(name).acquire(lockstep::CallOptions().timeout(50ms)).wait();
  must(second.code() == lockstep::Code::deadline_exceeded, "a held lock is waited for");
  must(first->commit(lockstep::Txn().put("protected by " + name, "1")).wait().is_done(), "a guarded write");
  must(first->release().wait().is_done(), "a release");
  must(client.lock(name).try_acquire().wait().is_done(), "what was released is free");
}

lockstep::Task<int> depth(int left) {
  if (left == 0) co_return 0;
  co_return 1 + co_await depth(left - 1);
}

void sessions_and_counters(lockstep::Client& client, const std::string& prefix) {
  lockstep::Session session = client.open_session(lockstep::SessionOptions().ttl(5s)).wait().value();
  must(session.check().wait().is_done(), "a session lives");
  must(session.close().wait().is_done(), "and is closed");
  must(session.over().stop_requested(), "which it says");
  must(client.counter(prefix + "n").add(2).wait().value() == 2, "a counter");
  must(client.counter(prefix + "n").add().wait().value() == 3, "counts");
}

}  // namespace

int main(int count, char** arguments) {
  must(count == 3, "usage: smoke <endpoints> <prefix>");
  const std::string prefix = arguments[2];
  lockstep::Client client(arguments[1]);
  keys_and_values(client, prefix + "kv/");
  must(lockstep::wait(coroutine(client, prefix + "co/")) == 3, "a coroutine");
  must(lockstep::wait(depth(100'000)) == 100'000, "tasks that finish at once need one stack frame");
  locks(client, prefix + "lock");
  sessions_and_counters(client, prefix);
  std::cout << "ok\n";
}
