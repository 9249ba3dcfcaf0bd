// lockstep snapshot restore: the directory of a member of a new cluster, from a saved file
// (docs/decisions/0020-restored-clusters.md).
//
// Everything is made in a directory beside the one that was asked for, made durable, proven to load, and then
// renamed: under its own name it is whole or not there.
#include <algorithm>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/assert.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/snapshot_file.h"
#include "engine/rocksdb_engine.h"
#include "platform/disk.h"
#include "platform/executor.h"
#include "platform/system.h"
#include "platform/work_thread.h"
#include "replica/naming.h"
#include "replica/restore.h"
#include "store/rebase.h"
#include "store/snapshot.h"

namespace lockstep::cli {
namespace {

namespace fs = std::filesystem;

// At a thousand writes a second what eleven days of writes would have taken.
constexpr std::int64_t revisions_raised_default = 1'000'000'000;
constexpr const char* settings_file = "lockstepd.toml";

struct RestoreArguments {
  std::string path;
  std::string directory;
  std::string name = "default";
  std::string initial_cluster;
  std::string advertise;
  std::string token;
  std::int64_t bump = revisions_raised_default;
  bool mark_compacted = false;
};

// What the arguments come to.
struct Plan {
  fs::path directory;
  fs::path unfinished;  // beside it
  std::vector<NamedAddress> cluster;
  std::string address;  // of this member; empty: on its own
  std::string token;
  replica::RestoreOptions restore;
};

Status refuse(std::string message) {
  return {Code::invalid_argument, std::move(message)};
}

Status plan_directory(const RestoreArguments& arguments, Plan* plan) {
  std::error_code error;
  fs::path directory = fs::absolute(arguments.directory, error).lexically_normal();
  if (!directory.has_filename()) directory = directory.parent_path();
  if (error || !directory.has_filename())
    return refuse(fmt::format("--data-dir '{}' is no name", arguments.directory));
  plan->directory = directory;
  plan->unfinished = directory.parent_path() / (directory.filename().string() + ".restoring");
  if (fs::exists(directory, error) && !(fs::is_directory(directory, error) && fs::is_empty(directory, error)))
    return {
        Code::already_exists,
        fmt::format("{}: is there and not empty. A restored member begins with a directory of its own: name "
                    "another one, or move this away",
                    directory.string())};
  if (fs::exists(plan->unfinished, error))
    return {Code::already_exists,
            fmt::format("{}: another restore is under way, or was interrupted; if none is, remove it",
                        plan->unfinished.string())};
  return {};
}

Status plan_cluster(const RestoreArguments& arguments, Plan* plan) {
  LS_ASSIGN_OR_RETURN(plan->cluster, parse_named_addresses(arguments.initial_cluster));
  if (arguments.name.empty() || arguments.name.find_first_of("=, ") != std::string::npos)
    return refuse(
        fmt::format("--name '{}' must not be empty or contain '=', ',' or a space", arguments.name));
  for (const NamedAddress& member : plan->cluster) {
    if (std::ranges::count(plan->cluster, member.name, &NamedAddress::name) > 1 ||
        std::ranges::count(plan->cluster, member.address, &NamedAddress::address) > 1)
      return refuse(
          fmt::format("--initial-cluster has '{}={}' or a part of it twice", member.name, member.address));
  }
  const auto self = std::ranges::find(plan->cluster, arguments.name, &NamedAddress::name);
  if (self == plan->cluster.end() && !plan->cluster.empty())
    return refuse(
        fmt::format("--initial-cluster does not name this member, '{0}': add {0}=host:port or change "
                    "--name",
                    arguments.name));
  if (self != plan->cluster.end()) plan->address = self->address;
  if (arguments.advertise.empty()) return {};
  LS_ASSIGN_OR_RETURN(const std::string advertise, parse_address(arguments.advertise));
  if (advertise != plan->address)
    return refuse(
        fmt::format("--initial-advertise-peer-urls {} is not the address of '{}' in --initial-cluster",
                    arguments.advertise, arguments.name));
  return {};
}

// What it was made from is part of the new cluster's name: members that were made from different files, or
// differently, never take each other for members, nor do they meet the living ones of the old cluster, whose
// token an operator may well give.
std::string token_of(const RestoreArguments& arguments, const SnapshotFile& file) {
  Sha256 hash;
  hash.add(fmt::format("{}\n{}\n{}\n", file.sha256, arguments.initial_cluster, arguments.bump));
  std::string token = (arguments.token.empty() ? "restored" : arguments.token) + "-";
  for (const char c : hash.finish().substr(0, 6))
    token += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return token;
}

void plan_restore(const RestoreArguments& arguments, const SnapshotFile& file, Plan* plan) {
  plan->token = token_of(arguments, file);
  plan->restore.revisions_raised = arguments.bump;
  plan->restore.remark = "sha256 " + file.sha256;
  // Every member makes the same one; who does not know the old key cannot.
  plan->restore.token_key_of = [token = plan->token](std::string_view old_key) {
    Sha256 hash;
    hash.add(old_key);
    hash.add(token);
    return hash.finish();
  };
  for (const NamedAddress& named : plan->cluster) {
    replica::Member& member = plan->restore.members.emplace_back();
    member.id = replica::node_id_of(plan->token, named.address);
    member.address = named.address;
    member.name = named.name;
  }
  if (!plan->cluster.empty()) return;
  replica::Member& member = plan->restore.members.emplace_back();
  member.id = replica::node_id_of(plan->token, "");
  member.name = arguments.name;
}

Status refuse_foreign(const SnapshotFile& file) {
  if (file.format == SnapshotFormat::lockstep) return {};
  return {Code::failed_precondition,
          fmt::format(
              "{0}: is a snapshot of etcd (a bbolt file), not of lockstepd. To move its content here, let "
              "etcd read it and copy key by key:\n"
              "  etcdctl snapshot restore {0} --data-dir old && etcd --data-dir old "
              "--listen-client-urls http://127.0.0.1:12379 --advertise-client-urls "
              "http://127.0.0.1:12379 &\n"
              "  etcdctl --endpoints 127.0.0.1:12379 make-mirror --no-dest-prefix 127.0.0.1:2379\n"
              "Revisions, leases and users are not copied that way",
              file.path)};
}

// The parts of this machine that a directory is made with.
class Workshop {
 public:
  static Result<std::unique_ptr<Workshop>> open(const std::string& directory) {
    std::unique_ptr<Workshop> workshop(new Workshop);
    LS_ASSIGN_OR_RETURN(workshop->disk_, platform::FileDisk::open(directory, workshop->executor_));
    return workshop;
  }
  env::Disk& disk() { return *disk_; }
  Status make_member(const Plan& plan) {
    platform::RealRandom random;
    platform::ThreadWorker worker(executor_);
    return replica::make_member(*disk_, worker, random, replica::cluster_id_of(plan.token),
                                replica::node_id_of(plan.token, plan.address));
  }

 private:
  Workshop() : executor_(clock_) {}
  platform::RealClock clock_;
  platform::AsioExecutor executor_;
  std::unique_ptr<platform::FileDisk> disk_;
};

std::string toml_text(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// So that the member is started as what it was made for.
Status write_settings(env::Disk& disk, const RestoreArguments& arguments, const Plan& plan) {
  std::string members;
  for (const NamedAddress& member : plan.cluster)
    members += fmt::format("{}{}={}", members.empty() ? "" : ",", member.name, member.address);
  const std::string text = fmt::format(
      "# Made by `lockstep snapshot restore` from {}.\nname = {}\ndata_dir = {}\ncluster_token = {}\n{}",
      arguments.path, toml_text(arguments.name), toml_text(plan.directory.string()), toml_text(plan.token),
      members.empty() ? "" : fmt::format("initial_cluster = {}\n", toml_text(members)));
  LS_ASSIGN_OR_RETURN(const auto file, disk.open(settings_file, env::OpenMode::create_new));
  LS_RETURN_IF_ERROR(file->write_at(0, text));
  return file->sync();
}

// Feeds the file to an engine of its own and makes it the first state of the new cluster.
Result<replica::RestoredState> fill_engine(const SnapshotFile& file, const Plan& plan) {
  platform::RealClock clock;
  LS_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine,
                      engine::open_rocksdb_engine((plan.unfinished / "engine").string(), {}));
  {
    store::SnapshotInstaller installer(*engine);
    store::SnapshotDecoder check([](auto, auto, auto) { return Status(); });
    const Progress progress(clock, "2/3 writing");
    LS_RETURN_IF_ERROR(read_snapshot_stream(
        file, [&](std::uint64_t bytes) { progress.show(bytes, file.bytes); },
        [&](std::string_view bytes) {
          Status status = check.feed(bytes);
          return status.ok() ? installer.feed(bytes) : status;
        }));
    LS_RETURN_IF_ERROR(check.finish());
    LS_RETURN_IF_ERROR(installer.commit(check.digest()));
  }
  Session::progress("3/3 giving it to the new members, and loading it");
  return replica::restore_state(*engine, plan.restore);
}

Result<replica::RestoredState> make_directory(const RestoreArguments& arguments, const SnapshotFile& file,
                                              const Plan& plan) {
  LS_ASSIGN_OR_RETURN(const std::unique_ptr<Workshop> inside, Workshop::open(plan.unfinished.string()));
  LS_ASSIGN_OR_RETURN(const replica::RestoredState state, fill_engine(file, plan));
  LS_RETURN_IF_ERROR(inside->make_member(plan));
  LS_RETURN_IF_ERROR(write_settings(inside->disk(), arguments, plan));
  for (const char* directory : {"engine", "log", ""})
    LS_RETURN_IF_ERROR(inside->disk().sync_directory(directory));
  LS_ASSIGN_OR_RETURN(const std::unique_ptr<Workshop> outside,
                      Workshop::open(plan.directory.parent_path().string()));
  LS_RETURN_IF_ERROR(
      outside->disk().rename(plan.unfinished.filename().string(), plan.directory.filename().string()));
  LS_RETURN_IF_ERROR(outside->disk().sync_directory(""));
  return state;
}

Status restore(Session& session, const RestoreArguments& arguments) {
  if (arguments.mark_compacted && arguments.bump == 0)
    return refuse("--mark-compacted goes with --bump-revision: without a raise all history stays readable");
  Plan plan;
  LS_RETURN_IF_ERROR(plan_directory(arguments, &plan));
  LS_RETURN_IF_ERROR(plan_cluster(arguments, &plan));
  platform::RealClock clock;
  std::error_code ignored;
  const std::uint64_t file_bytes = fs::file_size(arguments.path, ignored);
  const Progress progress(clock, "1/3 checking");
  LS_ASSIGN_OR_RETURN(const SnapshotFile file, check_snapshot_file(arguments.path, [&](std::uint64_t bytes) {
                        progress.show(bytes, ignored ? 0 : file_bytes);
                      }));
  LS_RETURN_IF_ERROR(refuse_foreign(file));
  plan_restore(arguments, file, &plan);
  const Result<replica::RestoredState> state = make_directory(arguments, file, plan);
  if (!state.ok()) {
    fs::remove_all(plan.unfinished, ignored);
    return {state.status().code(), fmt::format("{}: {}", arguments.path, state.status().message())};
  }
  Report report;
  report.fact("data_dir", plan.directory.string())
      .fact("cluster_token", plan.token)
      .fact("members", static_cast<std::uint64_t>(plan.restore.members.size()))
      .fact("keys", state->keys - (arguments.bump > 0 ? 1 : 0))
      .fact("leases", state->leases)
      .fact("revision", state->revision.value())
      .fact("compacted_revision", state->compacted.value())
      .fact("start_with", fmt::format("lockstepd --config {} --listen HOST:PORT",
                                      (plan.directory / settings_file).string()));
  session.print(report);
  return {};
}

}  // namespace

void add_restore_command(Commands& commands, CLI::App& snapshot) {
  auto arguments = std::make_shared<RestoreArguments>();
  CLI::App& command = commands.command(
      snapshot, "restore", "make the directory of a member of a new cluster from a saved file",
      "  lockstep snapshot restore backup.snapshot --data-dir restored\n"
      "  cluster=n1=10.0.0.1:2380,n2=10.0.0.2:2380,n3=10.0.0.3:2380   # on each machine, the same file\n"
      "  lockstep snapshot restore backup.snapshot --data-dir n1 --name n1 --initial-cluster $cluster\n"
      "  lockstep snapshot restore backup.snapshot --data-dir copy --bump-revision 0   # for a look at its "
      "history\n",
      [arguments](Session& session) { return restore(session, *arguments); });
  command
      .add_option("file", arguments->path, "what `lockstep snapshot save` or `etcdctl snapshot save` wrote")
      ->required();
  command.add_option("--data-dir", arguments->directory, "the directory to make; must be absent or empty")
      ->required();
  command.add_option("--name", arguments->name, "of this member [default]");
  command.add_option("--initial-cluster", arguments->initial_cluster,
                     "all members of the new cluster: n1=host:port,n2=host:port; none: a member on its own");
  command.add_option("--cluster-token,--initial-cluster-token", arguments->token,
                     "tells the new cluster from others; by default made of the file and these arguments");
  command.add_option("--initial-advertise-peer-urls", arguments->advertise,
                     "checked against --initial-cluster, for scripts made for etcd");
  command
      .add_option(
          "--bump-revision", arguments->bump,
          "begin so far above the file's revision, further than writes went after it was saved; 0: go on "
          "where it ends [1000000000]")
      ->check(CLI::Range(std::int64_t{0}, store::revisions_raised_max));
  command.add_flag("--mark-compacted", arguments->mark_compacted,
                   "what --bump-revision does anyway; for scripts made for etcd");
}

}  // namespace lockstep::cli
