#include "log/log.h"

#include <algorithm>

#include "base/assert.h"
#include "log/recovery.h"
#include "log/segment.h"
#include "log/segment_reader.h"
#include "log/writer.h"

namespace lockstep::log {
namespace {

struct Files {
  std::vector<std::uint64_t> segments;  // ascending
  std::vector<std::uint64_t> spares;
};

// What is in the directory. Leftovers of interrupted work are removed.
Result<Files> look_around(env::Disk& disk, const std::string& directory) {
  LS_ASSIGN_OR_RETURN(const std::vector<std::string> names, disk.list(directory));
  Files files;
  for (const std::string& name : names) {
    if (const auto segment = segment_number(name)) {
      files.segments.push_back(*segment);
    } else if (const auto spare = spare_number(name)) {
      files.spares.push_back(*spare);
    } else if (name.starts_with("making-") || name.ends_with(".making")) {
      LS_RETURN_IF_ERROR(disk.remove(directory + "/" + name));
    }
  }
  std::ranges::sort(files.segments);
  return files;
}

// Without identity files there may be what an interrupted make_directory() left: one segment with at most one
// record. More than that is a log that lost its identity.
Result<bool> is_unfinished(env::Disk& disk, const std::string& directory, const Files& files) {
  if (!files.spares.empty()) return false;
  if (files.segments.empty()) return true;
  if (files.segments != std::vector<std::uint64_t>{1}) return false;
  const auto file = disk.open(directory + "/" + segment_name(1), env::OpenMode::read_only);
  if (!file.ok()) return file.status();
  std::string page(page_bytes, '\0');
  LS_ASSIGN_OR_RETURN(const std::size_t got, (*file)->read_at(0, page));
  page.resize(got);
  const auto header = decode_segment_header(page);
  if (header.status().code() == Code::failed_precondition) return header.status();  // of another format
  if (!header.ok()) return false;  // its name became durable after its head
  LS_ASSIGN_OR_RETURN(SegmentReader segment, SegmentReader::open(disk, directory, header->incarnation, 1));
  LS_ASSIGN_OR_RETURN(const auto second, segment.header_at(records_offset + record_space(0)));
  return !second.has_value();
}

// The identity comes last: where it is, the first record is, too.
Status make_directory(env::Disk& disk, const Options& options) {
  LS_MUST(options.new_incarnation != IncarnationId{}, "an incarnation is drawn for a new directory");
  const Identity identity{options.cluster, options.node, options.new_incarnation};
  if (Status removed = disk.remove(options.directory + "/" + segment_name(1));
      !removed.ok() && removed.code() != Code::not_found) {
    return removed;
  }
  SegmentRequest request{options.directory, identity.incarnation, 1, options.segment_bytes, {}};
  LS_ASSIGN_OR_RETURN(const Segment segment, prepare_segment(disk, request));
  RecordHeader header;
  header.state.group = 1;
  const auto encoded =
      GroupEncoder().finish(header, {identity.incarnation, 1, records_offset}, segment.size_bytes);
  LS_MUST(encoded.pieces.size() == 1);
  LS_RETURN_IF_ERROR(segment.file->write_at(records_offset, encoded.pieces[0].view()));
  LS_RETURN_IF_ERROR(segment.file->sync());
  return store_identity(disk, options.directory, identity);
}

std::string parent_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

Status check_member(const Identity& identity, const Options& options) {
  if (identity.cluster == options.cluster && identity.node == options.node) return {};
  return {Code::failed_precondition, "the directory belongs to node " +
                                         std::to_string(identity.node.value()) + " of cluster " +
                                         std::to_string(identity.cluster.value()) + ", not to node " +
                                         std::to_string(options.node.value()) + " of cluster " +
                                         std::to_string(options.cluster.value())};
}

void check_options(const Options& options) {
  LS_MUST(!options.directory.empty());
  LS_MUST(options.cluster != ClusterId{});
  LS_MUST(options.node != NodeId{});
  LS_MUST(options.segment_bytes % page_bytes == 0);
  LS_MUST(options.segment_bytes <= UINT32_MAX, "lengths of records are 32 bits wide");
  const std::uint64_t largest =
      record_space(2 * run_frame_bytes_max + entry_frame_bytes_max + options.entry_bytes_max);
  LS_MUST(records_offset + largest + page_bytes <= options.segment_bytes,
          "a segment holds the largest entry");
}

}  // namespace

Result<Log::Opened> Log::open(env::Disk& disk, env::Worker& worker, Options options, Fatal fatal) {
  check_options(options);
  LS_RETURN_IF_ERROR(disk.create_directory(options.directory));
  LS_RETURN_IF_ERROR(disk.sync_directory(parent_of(options.directory)));
  LS_ASSIGN_OR_RETURN(std::shared_ptr<env::DirectoryLock> lock, disk.lock_directory(options.directory));
  LS_ASSIGN_OR_RETURN(Files files, look_around(disk, options.directory));

  Opened opened;
  auto identity = load_identity(disk, options.directory);
  if (!identity.ok() && identity.status().code() == Code::not_found) {
    LS_ASSIGN_OR_RETURN(const bool unfinished, is_unfinished(disk, options.directory, files));
    if (!unfinished) return {Code::corruption, "there is a log but both identity files are gone"};
    LS_RETURN_IF_ERROR(make_directory(disk, options));
    opened.recovered.made_now = true;
    files.segments = {1};
    identity = load_identity(disk, options.directory);
  }
  if (!identity.ok()) return identity.status();
  LS_RETURN_IF_ERROR(check_member(*identity, options));
  if (files.segments.empty()) return {Code::corruption, "the identity is there but the log is gone"};
  const std::size_t spares = Writer::spares_wanted(disk, options);
  while (files.spares.size() > spares) {
    LS_RETURN_IF_ERROR(disk.remove(options.directory + "/" + spare_name(files.spares.back())));
    files.spares.pop_back();
  }

  LS_ASSIGN_OR_RETURN(RecoveredLog recovered,
                      recover(disk, options.directory, *identity, files.segments, options.entries_after));
  Recovered& result = opened.recovered;
  result.identity = *identity;
  result.hard_state = recovered.state.hard_state;
  result.base = recovered.base;
  result.last = {recovered.state.last_index, recovered.state.last_term};
  result.entries = std::move(recovered.entries);
  result.damage = recovered.damage;
  LS_MUST(result.hard_state.commit <= result.last.index);

  auto writer =
      std::make_unique<Writer>(Writer::Directory{disk, std::move(lock), *identity, std::move(files.spares)},
                               worker, std::move(options), std::move(fatal), std::move(recovered));
  if (!writer->needs_discard()) {
    LS_RETURN_IF_ERROR(writer->settle_tail());
    writer->start();
  }
  opened.log.reset(new Log(std::move(writer)));
  return opened;
}

Log::Log(std::unique_ptr<Writer> writer) : writer_(std::move(writer)) {}
Log::~Log() = default;
void Log::append(AppendBatch batch, Done done) {
  writer_->append(std::move(batch), std::move(done));
}
void Log::note_commit(LogIndex commit) {
  writer_->note_commit(commit);
}
void Log::set_inline(std::size_t bytes_max, bool done_meanwhile) {
  writer_->set_inline(bytes_max, done_meanwhile);
}
bool Log::disk_at_work() const {
  return writer_->disk_at_work();
}
void Log::flush_idle() {
  writer_->flush_idle();
}
void Log::prove_with_next_group() {
  writer_->prove_with_next_group();
}
bool Log::flush_idle_wanted() const {
  return writer_->flush_idle_wanted();
}
void Log::release(LogIndex index) {
  writer_->release(index);
}
Status Log::discard_damaged_tail() {
  return writer_->discard_damaged_tail();
}
void Log::mark_repaired(Done done) {
  writer_->mark_repaired(std::move(done));
}
bool Log::needs_discard() const {
  return writer_->needs_discard();
}
bool Log::disk_full() const {
  return writer_->disk_full();
}
void Log::try_again() {
  writer_->try_again();
}
std::size_t Log::segments() const {
  return writer_->segments();
}
std::size_t Log::queued_bytes() const {
  return writer_->queued_bytes();
}
const Stats& Log::stats() const {
  return writer_->stats();
}

}  // namespace lockstep::log
