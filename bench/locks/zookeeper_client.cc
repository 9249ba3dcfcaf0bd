// Load on ZooKeeper's lock recipe: an ephemeral, sequential node under the lock's, its brothers, and a watch
// on the one before it if it is not the first; then its removal. ZooKeeper's own C client, asynchronous.
//
// usage: locks-zookeeper-client HOST:PORT,… SESSIONS IN_FLIGHT LOCKS SECONDS
//
// Threads: each session completes on a thread of its own; what they share is behind one mutex.
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <zookeeper/zookeeper.h>

#include "bench/locks/report.h"

namespace lockstep::bench {
namespace {

constexpr int session_timeout_ms = 30'000;

struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
  std::unique_ptr<Cycles> cycles;
  std::size_t running = 0;
};

struct Slot {
  Shared* shared = nullptr;
  zhandle_t* session = nullptr;
  std::string lock;  // the lock's node
  std::string node;  // ours below it
  SteadyClock::time_point begun;

  void acquire();
  void look();
  void release();
  void failed(int code);
  void stopped();
};

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "locks-zookeeper-client: %s\n", what);
  std::exit(1);
}

void Slot::stopped() {
  const std::lock_guard guard(shared->mutex);
  if (--shared->running == 0) shared->changed.notify_all();
}

void Slot::failed(int /*code*/) {
  {
    const std::lock_guard guard(shared->mutex);
    shared->cycles->failed();
  }
  acquire();
}

void Slot::acquire() {
  if (shared->cycles->over()) return stopped();
  begun = SteadyClock::now();
  const int code = zoo_acreate(
      session, (lock + "/c-").c_str(), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL | ZOO_SEQUENCE,
      [](int code, const char* made, const void* data) {
        auto* const slot = static_cast<Slot*>(const_cast<void*>(data));
        if (code != ZOK) return slot->failed(code);
        slot->node = made;
        slot->look();
      },
      this);
  if (code != ZOK) fail("create");
}

void Slot::look() {
  const int code = zoo_aget_children(
      session, lock.c_str(), 0,
      [](int code, const String_vector* children, const void* data) {
        auto* const slot = static_cast<Slot*>(const_cast<void*>(data));
        if (code != ZOK) return slot->failed(code);
        const char* const own = slot->node.c_str() + slot->lock.size() + 1;
        const char* before = nullptr;
        for (int i = 0; i < children->count; ++i) {
          const char* const child = children->data[i];
          if (std::strcmp(child, own) < 0 && (before == nullptr || std::strcmp(child, before) > 0))
            before = child;
        }
        if (before == nullptr) return slot->release();
        const int code_of_watch = zoo_awexists(
            slot->session, (slot->lock + "/" + before).c_str(),
            [](zhandle_t*, int type, int, const char*, void* watched) {
              // Every watch hears of the session's ups and downs as well, and stays.
              if (type != ZOO_SESSION_EVENT) static_cast<Slot*>(watched)->look();
            },
            slot,
            [](int code_of_exists, const Stat*, const void* waiting) {
              // Gone in between: no watch was left on the node's coming back that would ever tell.
              if (code_of_exists == ZNONODE) static_cast<Slot*>(const_cast<void*>(waiting))->look();
            },
            slot);
        if (code_of_watch != ZOK) fail("exists");
      },
      this);
  if (code != ZOK) fail("get_children");
}

void Slot::release() {
  const int code = zoo_adelete(
      session, node.c_str(), -1,
      [](int code, const void* data) {
        auto* const slot = static_cast<Slot*>(const_cast<void*>(data));
        if (code != ZOK) return slot->failed(code);
        {
          const std::lock_guard guard(slot->shared->mutex);
          slot->shared->cycles->add(slot->begun);
        }
        slot->acquire();
      },
      this);
  if (code != ZOK) fail("delete");
}

zhandle_t* connect(const char* servers) {
  zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
  zhandle_t* const session = zookeeper_init(servers, nullptr, session_timeout_ms, nullptr, nullptr, 0);
  if (session == nullptr) fail("cannot connect");
  return session;
}

void make_node(zhandle_t* session, const std::string& path) {
  const int code = zoo_create(session, path.c_str(), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, nullptr, 0);
  if (code != ZOK && code != ZNODEEXISTS) fail("cannot make the locks' nodes");
}

int run(const char* servers, std::size_t sessions, std::size_t in_flight, std::size_t locks, int seconds) {
  Shared shared;
  std::vector<zhandle_t*> handles;
  for (std::size_t i = 0; i < sessions; ++i) handles.push_back(connect(servers));
  make_node(handles[0], "/lockstep-bench");
  if (locks == 0) locks = in_flight;
  for (std::size_t i = 0; i < locks; ++i) make_node(handles[0], "/lockstep-bench/lock-" + std::to_string(i));
  std::vector<Slot> slots(in_flight);
  shared.running = in_flight;
  shared.cycles = std::make_unique<Cycles>(std::chrono::seconds(1), std::chrono::seconds(seconds));
  for (std::size_t i = 0; i < in_flight; ++i) {
    slots[i].shared = &shared;
    slots[i].session = handles[i % sessions];
    slots[i].lock = "/lockstep-bench/lock-" + std::to_string(i % locks);
    slots[i].acquire();
  }
  std::unique_lock lock(shared.mutex);
  shared.changed.wait_for(lock, std::chrono::seconds(seconds + 20), [&] { return shared.running == 0; });
  shared.cycles->print();
  std::fflush(stdout);
  std::_Exit(0);  // closing sessions one by one measures nothing
}

}  // namespace
}  // namespace lockstep::bench

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: locks-zookeeper-client HOST:PORT,... SESSIONS IN_FLIGHT LOCKS SECONDS\n");
    return 2;
  }
  const auto number = [&](int i) { return static_cast<std::size_t>(std::atoi(argv[i])); };
  return lockstep::bench::run(argv[1], number(2), number(3), number(4), std::atoi(argv[5]));
}
