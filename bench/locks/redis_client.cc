// Load on Redis as a lock service: SET name value NX PX, then the script that deletes it if the value is
// still ours. So many connections, one cycle in flight on each, every connection a lock of its own.
//
// usage: locks-redis-client PORT CONNECTIONS SECONDS
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include <hiredis/hiredis.h>
#include <sys/epoll.h>

#include "bench/locks/report.h"

namespace lockstep::bench {
namespace {

constexpr const char* unlock_script =
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";

struct Line {
  redisContext* context = nullptr;
  std::string name;
  bool holds = false;
  SteadyClock::time_point begun;
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "locks-redis-client: %s\n", what);
  std::exit(1);
}

std::string load_script(int port) {
  redisContext* const context = redisConnect("127.0.0.1", port);
  if (context == nullptr || context->err != 0) fail("cannot connect");
  auto* const reply = static_cast<redisReply*>(redisCommand(context, "SCRIPT LOAD %s", unlock_script));
  if (reply == nullptr || reply->type != REDIS_REPLY_STRING) fail("the script was not taken");
  std::string name(reply->str, reply->len);
  freeReplyObject(reply);
  redisFree(context);
  return name;
}

void send(Line& line, const std::string& script) {
  if (line.holds) {
    redisAppendCommand(line.context, "EVALSHA %s 1 %s owner", script.c_str(), line.name.c_str());
  } else {
    line.begun = SteadyClock::now();
    redisAppendCommand(line.context, "SET %s owner NX PX 30000", line.name.c_str());
  }
  int done = 0;
  while (done == 0) {
    if (redisBufferWrite(line.context, &done) != REDIS_OK) fail(line.context->errstr);
  }
}

void receive(Line& line, Cycles& cycles, const std::string& script) {
  if (redisBufferRead(line.context) != REDIS_OK) fail(line.context->errstr);
  while (true) {
    void* taken = nullptr;
    if (redisGetReplyFromReader(line.context, &taken) != REDIS_OK) fail(line.context->errstr);
    if (taken == nullptr) return;
    auto* const reply = static_cast<redisReply*>(taken);
    const bool good = line.holds ? (reply->type == REDIS_REPLY_INTEGER && reply->integer == 1)
                                 : reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    if (!good) cycles.failed();
    if (good && line.holds) cycles.add(line.begun);
    line.holds = good && !line.holds;
    send(line, script);
  }
}

int run(int port, std::size_t connections, int seconds) {
  const std::string script = load_script(port);
  const int poll = ::epoll_create1(0);
  std::vector<Line> lines(connections);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    Line& line = lines[i];
    line.name = "lockstep-bench/lock-" + std::to_string(i);
    line.context = redisConnect("127.0.0.1", port);
    if (line.context == nullptr || line.context->err != 0) fail("cannot connect");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    if (::epoll_ctl(poll, EPOLL_CTL_ADD, line.context->fd, &event) < 0) fail("epoll_ctl");
  }
  Cycles cycles(std::chrono::seconds(1), std::chrono::seconds(seconds));
  for (Line& line : lines) send(line, script);
  std::array<epoll_event, 256> events{};
  while (!cycles.over()) {
    const int ready = ::epoll_wait(poll, events.data(), events.size(), 100);
    for (int i = 0; i < ready; ++i)
      receive(lines[events[static_cast<std::size_t>(i)].data.u64], cycles, script);
  }
  for (Line& line : lines) redisFree(line.context);
  cycles.print();
  return 0;
}

}  // namespace
}  // namespace lockstep::bench

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: locks-redis-client PORT CONNECTIONS SECONDS\n");
    return 2;
  }
  return lockstep::bench::run(std::atoi(argv[1]), static_cast<std::size_t>(std::atoi(argv[2])),
                              std::atoi(argv[3]));
}
