// lockstep snapshot save, status; restore is in snapshot_restore.cc.
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/snapshot_file.h"
#include "platform/system.h"

namespace lockstep::cli {
namespace {

struct SaveArguments {
  std::string path;
  bool overwrite = false;
};

// The file under a name of its own until it is whole.
class Saving {
 public:
  explicit Saving(const std::string& path)
      : partial_(path + ".part"), file_(partial_, std::ios::binary | std::ios::trunc) {}
  ~Saving() {
    std::error_code ignored;
    if (!kept_) std::filesystem::remove(partial_, ignored);
  }
  Saving(const Saving&) = delete;
  Saving& operator=(const Saving&) = delete;

  [[nodiscard]] Status status() const {
    if (file_) return {};
    return {Code::io_error, fmt::format("{}: {}", partial_, std::strerror(errno))};
  }
  bool add(std::string_view bytes) {
    hash_.add(bytes);
    bytes_ += bytes.size();
    return static_cast<bool>(file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size())));
  }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  Status keep(const std::string& path) {
    file_.close();
    LS_RETURN_IF_ERROR(status());
    if (!hash_.matches()) return {Code::corruption, "what arrived does not fit its checksum"};
    std::error_code error;
    std::filesystem::rename(partial_, path, error);
    if (error) return {Code::io_error, fmt::format("{}: {}", path, error.message())};
    kept_ = true;
    return {};
  }

 private:
  std::string partial_;
  std::ofstream file_;
  TrailingHash hash_;
  std::uint64_t bytes_ = 0;
  bool kept_ = false;
};

Status save(Session& session, const SaveArguments& arguments) {
  if (!arguments.overwrite && std::filesystem::exists(arguments.path))
    return {Code::already_exists,
            fmt::format("{}: is there already; --overwrite replaces it", arguments.path)};
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  Saving saving(arguments.path);
  LS_RETURN_IF_ERROR(saving.status());
  const Progress progress(client->clock(), "saving");
  std::shared_ptr<remote::Admin::Snapshot> running;
  LS_RETURN_IF_ERROR(client->wait<Status>([&](auto done) {
    running = client->admin().snapshot(
        {client->deadline(), {}},
        [&](std::uint64_t remaining, std::string_view bytes) {
          const std::uint64_t saved = saving.bytes() + bytes.size();
          progress.show(saved, remaining == 0 ? 0 : saved + remaining);
          return saving.add(bytes);
        },
        std::move(done));
  }));
  LS_RETURN_IF_ERROR(saving.keep(arguments.path));
  Report report;
  report.fact("saved", arguments.path).fact("bytes", saving.bytes());
  session.print(report);
  return {};
}

Status status(Session& session, const std::string& path) {
  platform::RealClock clock;
  const Progress progress(clock, "reading");
  LS_ASSIGN_OR_RETURN(const SnapshotStatus status,
                      snapshot_status(path, [&](std::uint64_t bytes) { progress.show(bytes, 0); }));
  const bool ours = status.file.format == SnapshotFormat::lockstep;
  Report report;
  report.fact("file", path)
      .fact("bytes", status.file.bytes)
      .fact("format", std::string(ours ? "lockstep" : "etcd"))
      .fact("sha256", status.file.sha256);
  if (ours) {
    report.fact("revision", status.revision.value())
        .fact("compacted_revision", status.compacted.value())
        .fact("index", status.index.value())
        .fact("term", status.term.value())
        .fact("rows_current", status.rows_current)
        .fact("rows_history", status.rows_history)
        .fact("rows_pinned", status.rows_pinned)
        .fact("rows_meta", status.rows_meta);
  }
  session.print(report);
  return {};
}

}  // namespace

void add_snapshot_commands(Commands& commands) {
  CLI::App& snapshot = commands.group("snapshot", "backups of a whole cluster");
  auto saving = std::make_shared<SaveArguments>();
  CLI::App& save_command =
      commands.command(snapshot, "save", "write everything a member has to a file",
                       "  lockstep snapshot save backup.snapshot\n"
                       "  lockstep --endpoints 10.0.0.2:2379 snapshot save /backup/today --overwrite\n",
                       [saving](Session& session) { return save(session, *saving); });
  save_command.add_option("file", saving->path, "where to")->required();
  save_command.add_flag("--overwrite", saving->overwrite, "replace a file that is there");

  auto looked_at = std::make_shared<std::string>();
  commands
      .command(
          snapshot, "status", "check a saved file, and say what is in it",
          "  lockstep snapshot status backup.snapshot\n  lockstep snapshot status backup.snapshot -o json\n",
          [looked_at](Session& session) { return status(session, *looked_at); })
      .add_option("file", *looked_at, "the file")
      ->required();
  add_restore_command(commands, snapshot);
}

}  // namespace lockstep::cli
