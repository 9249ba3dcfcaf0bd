// ./do demo: three members, writes without pause, the leader killed a few times, and the account of it.
#include <algorithm>
#include <filesystem>
#include <stdlib.h>
#include <string>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "account.h"
#include "client.h"
#include "processes.h"

namespace lockstep::demo {
namespace {

struct Settings {
  int kills = 5;
  double seconds_between = 1.5;
  std::size_t in_flight = 64;
  bool keep = false;
};

class Show {
 public:
  Show(const Settings& settings, const std::string& directory)
      : settings_(settings), processes_(plan_cluster(directory)) {
    platform::PlatformOptions options;
    options.data_directory = directory + "/client";
    options.cluster = ClusterId(1);
    options.node = client_node;
    options.listen_address = processes_.cluster().client.address;
    options.log = [](std::string_view) {};
    auto opened = platform::Platform::open(options);
    LS_MUST(opened.ok(), "the client cannot listen");
    platform_ = *std::move(opened);
    client_ = std::make_unique<Client>(*platform_, processes_.cluster().members);
    writer_ = std::make_unique<Writer>(*client_, settings.in_flight);
  }

  int run() {
    fmt::print("Lockstep: three members on this machine ({}).\n", to_text(processes_.cluster().members));
    for (const replica::Member& member : processes_.cluster().members) processes_.start(member.id);
    register_writer();
    fmt::print("{} writes in flight; every write that is acknowledged goes into the account.\n\n",
               settings_.in_flight);
    run_for(1);
    for (int i = 0; i < settings_.kills && healthy(); ++i) kill_leader(i + 1);
    writer_->stop();
    run_until([this] { return writer_->idle(); });
    return print_account();
  }

 private:
  void run_until(std::function<bool()> condition) {
    auto shared = std::make_shared<std::function<bool()>>(std::move(condition));
    platform_->executor().post([this, shared] { poll(shared); });
    platform_->run();
  }
  void poll(const std::shared_ptr<std::function<bool()>>& condition) {
    if ((*condition)() || !healthy()) return platform_->stop();
    platform_->executor().schedule(platform_->executor().clock().now() + 1ms,
                                   [this, condition] { poll(condition); });
  }
  void run_for(double seconds) {
    const double end = demo_seconds() + seconds;
    run_until([end] { return demo_seconds() >= end; });
  }
  bool healthy() {
    died_ = died_ || processes_.any_died();
    return !died_ && writer_->errors().empty();
  }

  void register_writer() {
    bool registered = false;
    platform_->executor().post([&] {
      client_->call([](store::BatchBuilder& builder) { LS_MUST(builder.register_client()); },
                    [&](const store::CommandResult& result) {
                      LS_MUST(result.ok());
                      writer_->start(std::get<store::RegisterClientResponse>(*result).client);
                      registered = true;
                    });
    });
    run_until([&] { return registered; });
  }

  void kill_leader(int number) {
    const NodeId victim = client_->leader();
    const double killed_at = demo_seconds();
    const std::size_t before = writer_->acknowledged().size();
    processes_.kill(victim);
    run_until([&] {
      return client_->leader() != victim && writer_->acknowledged().size() > before + settings_.in_flight;
    });
    run_for(settings_.seconds_between / 2);
    const double gap_ms = writer_->longest_gap_ms(killed_at, demo_seconds());
    kills_.push_back({victim, killed_at, gap_ms});
    fmt::print(
        "  kill -9 of the leader, member {}   writes stood still for {:4.0f} ms, member {} leads   ({} of "
        "{}; {} acknowledged so far)\n",
        victim.value(), gap_ms, client_->leader().value(), number, settings_.kills,
        writer_->acknowledged().size());
    std::fflush(stdout);
    processes_.start(victim);
    run_for(settings_.seconds_between / 2);
  }

  int print_account() {
    for (const std::string& error : writer_->errors())
      fmt::print(stderr, "demo: a write was refused: {}\n", error);
    if (died_) fmt::print(stderr, "demo: a member ended by itself\n");
    if (!healthy()) return 1;
    Account account;
    bool finished = false;
    platform_->executor().post([&] {
      take_account(*client_, writer_->acknowledged(), [&](const Account& taken) {
        account = taken;
        finished = true;
      });
    });
    run_until([&] { return finished; });
    std::vector<double> gaps;
    for (const Kill& kill : kills_) gaps.push_back(kill.gap_ms);
    std::ranges::sort(gaps);
    fmt::print("\nThe account\n");
    fmt::print("  acknowledged writes      {:>10}\n", account.acknowledged);
    fmt::print("  found with their value   {:>10}\n", account.found - account.wrong);
    fmt::print("  sent again, outcome then known {:>4}\n", client_->repeated());
    if (!gaps.empty()) {
      fmt::print("  leader kills             {:>10}   gap median {:.0f} ms, longest {:.0f} ms\n", gaps.size(),
                 gaps[gaps.size() / 2], gaps.back());
    }
    fmt::print("  lost: {}\n  wrong: {}\n  written twice: {}\n", account.lost, account.wrong,
               account.written_twice);
    const bool good = finished && account.lost == 0 && account.wrong == 0 && account.written_twice == 0 &&
                      account.acknowledged > 0 && std::cmp_equal(kills_.size(), settings_.kills);
    fmt::print("\n{}\n", good ? "Every acknowledged write is there, once." : "The account is NOT clean.");
    return good ? 0 : 1;
  }

  Settings settings_;
  Processes processes_;
  std::unique_ptr<platform::Platform> platform_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Writer> writer_;
  std::vector<Kill> kills_;
  bool died_ = false;
};

}  // namespace
}  // namespace lockstep::demo

int main(int argc, char** argv) {
  using namespace lockstep::demo;
  Settings settings;
  std::string data;
  std::string members;
  std::string client;
  std::uint64_t node = 0;
  CLI::App app{
      "Starts three members, kills the leader under writes, accounts for every acknowledged write.\n\n"
      "Examples:\n"
      "  lockstep-demo               five kills\n"
      "  lockstep-demo --kills 20    more of them"};
  app.add_option("--kills", settings.kills, "How often the leader is killed")->check(CLI::Range(0, 1000));
  app.add_option("--seconds-between", settings.seconds_between, "From one kill to the next")
      ->check(CLI::Range(0.2, 60.0));
  app.add_option("--in-flight", settings.in_flight, "Writes at the same time")->check(CLI::Range(1, 200));
  app.add_flag("--keep", settings.keep, "Leave the members' directories behind and say where");
  CLI::App* member = app.add_subcommand("member", "One of the members (started by the demo itself)");
  member->group("");
  member->add_option("--data", data)->required();
  member->add_option("--node", node)->required();
  member->add_option("--members", members)->required();
  member->add_option("--client", client)->required();
  CLI11_PARSE(app, argc, argv);
  if (*member) return run_member(data, lockstep::NodeId(node), members, client);

  std::string directory = (std::filesystem::temp_directory_path() / "lockstep-demo-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) {
    fmt::print(stderr, "demo: cannot make a folder in {}; set TMPDIR to one that is writable\n",
               std::filesystem::temp_directory_path().string());
    return 1;
  }
  const int code = Show(settings, directory).run();
  if (settings.keep) {
    fmt::print("The members' directories are in {}\n", directory);
  } else {
    std::filesystem::remove_all(directory);
  }
  return code;
}
