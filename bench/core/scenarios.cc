#include "core/scenarios.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <signal.h>
#include <sstream>
#include <unistd.h>

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>

namespace lockstep::bench {
namespace {

std::vector<replica::Member> alone() {
  return {{NodeId(1), ""}};
}

std::string rate_and_cost(const Measured& measured) {
  return fmt::format("{:.0f}/s  {:.2f} us CPU  p50 {:.0f} us  p99 {:.0f} us", measured.per_second(),
                     measured.cpu_us(), measured.p50_us, measured.p99_us);
}

void put_many(const Settings& settings) {
  LocalMember member(settings.directory + "/put-many", alone(), NodeId(1));
  member.wait_for_leadership();
  Prng prng(1);
  const Measured measured = run_closed_loop(member, settings, 1000, random_puts(member, 10'000, prng));
  print_row("puts, 1 member in process, 10,000 keys, 1,000 in flight", rate_and_cost(measured),
            ">= 200,000/s, <= 4 us CPU", measured.per_second() >= 200'000 && measured.cpu_us() <= 4);
}

void put_ten_million(const Settings& settings) {
  constexpr std::uint64_t keys = 10'000'000;
  LocalMember member(settings.directory + "/put-ten-million", alone(), NodeId(1));
  member.wait_for_leadership();
  const std::uint64_t resident_empty = resident_bytes();
  fill(member, keys);
  const std::uint64_t resident_full = resident_bytes();
  Prng prng(2);
  const Measured measured = run_closed_loop(member, settings, 1000, random_puts(member, keys, prng));
  print_row("the same, 10 million keys", rate_and_cost(measured), "<= 6 us CPU", measured.cpu_us() <= 6);
  print_row("  resident bytes a key (19-byte key, 256-byte value)",
            fmt::format("{:.0f}", static_cast<double>(resident_full - resident_empty) / keys), "printed",
            true);
}

// The disk's own: overwrite 4 KiB of a written file, fdatasync.
double overwrite_sync_p50_us(const Settings& settings) {
  const std::string path = settings.directory + "/overwrite";
  const int file = open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) return 0;
  const std::string block(4096, 'x');
  constexpr int blocks = 4096;
  for (int i = 0; i < blocks; ++i) {
    if (pwrite(file, block.data(), block.size(), i * 4096L) != 4096) return 0;
  }
  fsync(file);
  std::vector<float> latencies_us;
  const double end = now_seconds() + settings.seconds;
  for (int i = 0; now_seconds() < end; i = (i + 1) % blocks) {
    const double began = now_seconds();
    if (pwrite(file, block.data(), block.size(), i * 4096L) != 4096 || fdatasync(file) != 0) return 0;
    latencies_us.push_back(static_cast<float>((now_seconds() - began) * 1e6));
  }
  close(file);
  unlink(path.c_str());
  std::ranges::sort(latencies_us);
  return latencies_us[latencies_us.size() / 2];
}

void put_one(const Settings& settings) {
  const double disk_before = overwrite_sync_p50_us(settings);
  LocalMember member(settings.directory + "/put-one", alone(), NodeId(1));
  member.wait_for_leadership();
  Prng prng(3);
  const Measured measured = run_closed_loop(member, settings, 1, random_puts(member, 10'000, prng));
  const double disk = (disk_before + overwrite_sync_p50_us(settings)) / 2;
  print_row(
      "one put in flight, 1 member",
      fmt::format("p50 {:.0f} us, disk {:.0f} us: {:.2f} x", measured.p50_us, disk, measured.p50_us / disk),
      "<= 1.6 x the disk", measured.p50_us <= 1.6 * disk);
}

void read_points(const Settings& settings) {
  constexpr std::uint64_t keys = 1'000'000;
  LocalMember member(settings.directory + "/read-points", alone(), NodeId(1));
  member.wait_for_leadership();
  fill(member, keys);
  Prng prng(4);
  const Measured measured =
      run_closed_loop(member, settings, 1000, [&](std::move_only_function<void()> done) {
        store::RangeRequest request;
        request.key = key_name(prng.below(keys));
        member.replica().range(std::move(request), {},
                               [done = std::move(done)](Result<store::RangeResponse> result) mutable {
                                 LS_MUST(result.ok() && result->kvs.size() == 1);
                                 done();
                               });
      });
  print_row("linearizable point reads, 1 member, 1 million keys", rate_and_cost(measured), ">= 700,000/s",
            measured.per_second() >= 700'000);
}

void restart(const Settings& settings) {
  constexpr std::uint64_t keys = 1'000'000;
  const std::string directory = settings.directory + "/restart";
  {
    LocalMember member(directory, alone(), NodeId(1));
    member.wait_for_leadership();
    fill(member, keys);
  }
  const double began = now_seconds();
  LocalMember member(directory, alone(), NodeId(1));
  member.wait_for_leadership();
  bool read = false;
  store::RangeRequest request;
  request.key = key_name(keys - 1);
  member.replica().range(request, {}, [&](Result<store::RangeResponse> result) {
    LS_MUST(result.ok() && result->kvs.size() == 1);
    read = true;
  });
  member.run_until([&] { return read; });
  const double seconds = now_seconds() - began;
  print_row("restart with 1 million keys, until the first read", fmt::format("{:.2f} s", seconds), "< 2 s",
            seconds < 2);
}

std::vector<replica::Member> parse_peers(const std::string& text) {
  std::vector<replica::Member> members;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t equals = part.find('=');
    std::uint64_t id = 0;
    if (equals == std::string::npos ||
        std::from_chars(part.data(), part.data() + equals, id).ec != std::errc()) {
      fmt::print(stderr, "lockstep-bench: '{}' is not id=host:port\n", part);
      std::exit(2);
    }
    members.push_back({NodeId(id), part.substr(equals + 1)});
  }
  return members;
}

int start_process(const Settings& settings, int node, const std::string& peers) {
  const int process = fork();
  if (process != 0) return process;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  const std::string data = settings.directory + "/three-" + std::to_string(node);
  const std::string node_text = std::to_string(node);
  execl("/proc/self/exe", "lockstep-bench", "member", "--data", data.c_str(), "--node", node_text.c_str(),
        "--peers", peers.c_str(), static_cast<char*>(nullptr));
  _exit(127);
}

// The clients are in this process: it must lead.
void lead(LocalMember& member) {
  double asked = 0;
  member.run_until([&] {
    const replica::ReplicaStatus status = member.replica().status();
    if (status.role == raft::Role::leader) return true;
    if (now_seconds() - asked > 0.5) {
      asked = now_seconds();
      member.replica().campaign();
    }
    return false;
  });
  member.run_for(0.5);
}

void put_three(const Settings& settings) {
  const std::string peers = "1=127.0.0.1:23801,2=127.0.0.1:23802,3=127.0.0.1:23803";
  const std::vector<int> others = {start_process(settings, 2, peers), start_process(settings, 3, peers)};
  {
    LocalMember member(settings.directory + "/three-1", parse_peers(peers), NodeId(1));
    lead(member);
    Prng prng(5);
    const Measured measured =
        run_closed_loop(member, settings, 1000, random_puts(member, 10'000, prng), others);
    print_row("puts, 3 members in 3 processes, 1,000 in flight", rate_and_cost(measured),
              ">= 100,000/s, <= 15 us CPU of all",
              measured.per_second() >= 100'000 && measured.cpu_us() <= 15);
    const Measured one = run_closed_loop(member, settings, 1, random_puts(member, 10'000, prng), others);
    print_row("  one put in flight, 3 members", rate_and_cost(one), "printed", true);
  }
  for (const int process : others) {
    kill(process, SIGKILL);
    waitpid(process, nullptr, 0);
  }
}

// One of three members is away while 1 GB is written past the log in memory; its return costs a snapshot.
void snapshot_while_writing(const Settings& settings) {
  constexpr std::uint64_t keys = 3'400'000;  // of 19 + 256 bytes and their metadata: a stream of about 1 GB
  const std::string peers = "1=127.0.0.1:23811,2=127.0.0.1:23812,3=127.0.0.1:23813";
  Settings scenario = settings;
  scenario.directory += "/snapshot";
  std::vector<int> others = {start_process(scenario, 2, peers), start_process(scenario, 3, peers)};
  {
    LocalMember member(scenario.directory + "/three-1", parse_peers(peers), NodeId(1));
    lead(member);
    kill(others[1], SIGKILL);
    waitpid(others[1], nullptr, 0);
    fill(member, keys);
    Prng prng(6);
    // A rate the machine can carry beside the snapshot: a closed loop would measure only its own queue.
    const Measured usual = run_closed_loop(member, scenario, 16, random_puts(member, keys, prng));
    std::filesystem::remove_all(scenario.directory + "/three-3");
    const LogIndex goal = member.replica().status().commit;
    others[1] = start_process(scenario, 3, peers);
    const double began = now_seconds();
    double seconds = 0;
    Settings until_caught_up = scenario;
    until_caught_up.warm_up_seconds = 0;
    until_caught_up.seconds = 0;
    until_caught_up.also_until = [&] {
      const auto& known = member.replica().raft().peers();
      const auto peer = known.find(NodeId(3));
      if (peer != known.end() && peer->second.match >= goal && seconds == 0) seconds = now_seconds() - began;
      return seconds != 0 || now_seconds() - began > 120;
    };
    const Measured during = run_closed_loop(member, until_caught_up, 16, random_puts(member, keys, prng));
    print_row("p99 of puts while a follower gets a 1 GB snapshot",
              fmt::format("{:.0f} us, usually {:.0f} us: {:.2f} x; took {:.1f} s", during.p99_us,
                          usual.p99_us, during.p99_us / usual.p99_us, seconds),
              "<= 2 x the usual", seconds != 0 && during.p99_us <= 2 * usual.p99_us);
  }
  for (const int process : others) {
    kill(process, SIGKILL);
    waitpid(process, nullptr, 0);
  }
}

// Watchers on keys that are being written, with subscribers that take what they get.
struct TakingWatcher {
  std::unique_ptr<store::Subscription> subscription;
  std::uint64_t* events;

  void take() {
    while (std::optional<store::WatchResponse> answer = subscription->next(64 * 1024)) {
      *events += answer->events.size();
    }
    subscription->notify_when_ready([this] { take(); });
  }
};

// Rounds with and without watchers take turns over the same full store: a later round has more history behind
// it and the machine may be slower in one of them, which must not count as the watchers' cost.
void watch_cost(const Settings& settings) {
  constexpr std::uint64_t keys = 1'000'000;
  constexpr std::uint64_t watched = 10'000;
  constexpr int rounds = 16;  // without, with, with, without, and so on: neither half is the later one
  static_assert(rounds % 4 == 0);
  LocalMember member(settings.directory + "/watch", alone(), NodeId(1));
  member.wait_for_leadership();
  fill(member, keys);
  Prng prng(8);
  std::uint64_t events = 0;
  std::vector<std::unique_ptr<TakingWatcher>> watchers;
  Settings round = settings;
  round.seconds = settings.seconds / 4;
  round.warm_up_seconds = settings.warm_up_seconds / 4;
  std::array<Measured, 2> sums;  // without, with
  for (int i = 0; i < rounds; ++i) {
    const bool with_watchers = i % 4 == 1 || i % 4 == 2;
    member.platform().executor().post([&] {
      watchers.clear();
      for (std::uint64_t number = 0; with_watchers && number < watched; ++number) {
        store::WatchRequest request;
        request.key = key_name(number * (keys / watched));
        auto subscription = member.replica().watch(std::move(request));
        LS_MUST(subscription.ok());
        watchers.push_back(std::make_unique<TakingWatcher>(*std::move(subscription), &events));
        watchers.back()->take();
      }
    });
    const Measured measured = run_closed_loop(member, round, 1000, random_puts(member, keys, prng));
    Measured& sum = sums[with_watchers ? 1 : 0];
    sum.operations += measured.operations;
    sum.seconds += measured.seconds;
    sum.cpu_seconds += measured.cpu_seconds;
  }
  watchers.clear();
  const auto& [without, with] = sums;
  const double loss = 1 - with.per_second() / without.per_second();
  print_row("10,000 watchers on distinct keys of 1 million",
            fmt::format("{:.0f}/s, {:.2f} us CPU without; {:.0f}/s, {:.2f} us with: {:.1f} % less; {} events",
                        without.per_second(), without.cpu_us(), with.per_second(), with.cpu_us(), loss * 100,
                        events),
            "<= 5 % of puts/s", loss <= 0.05 && events > 0);
}

}  // namespace

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all = {
      {"put-many", put_many},
      {"put-one", put_one},
      {"put-three", put_three},
      {"restart", restart},
      {"read-points", read_points},
      {"watch", watch_cost},
      {"snapshot", snapshot_while_writing},
      {"put-ten-million", put_ten_million},
  };
  return all;
}

int run_member(const std::string& directory, NodeId node, const std::string& peers) {
  LocalMember member(directory, parse_peers(peers), node);
  member.run_until([] { return false; });
  return 0;
}

}  // namespace lockstep::bench
