// The life of segment files around the writer: settled at the start, prepared ahead, rotated, recycled.
#include <algorithm>

#include "base/assert.h"
#include "base/limits.h"
#include "log/writer.h"

namespace lockstep::log {

// ---- at the start

// A process that was killed may have left its last group in the page cache only, and after a failed sync the
// cache may show what the disk never got, as clean: so the last record is written once more before anything
// is built on it. The page behind it is cleared with it: the torn group is gone.
Status Log::Writer::rewrite_last_record(env::File& file) {
  const Tail& tail = recovered_.tail;
  LS_MUST(tail.last_record_offset >= records_offset);
  LS_MUST(tail.last_record_offset < tail.offset);
  std::uint64_t offset = tail.last_record_offset;
  std::string buffer;
  while (offset < tail.offset) {
    buffer.resize(std::min<std::uint64_t>(tail.offset - offset, limits::mebibyte));
    LS_ASSIGN_OR_RETURN(const std::size_t got, file.read_at(offset, buffer));
    if (got < buffer.size()) return {Code::io_error, "a segment file shrank while it was read"};
    LS_RETURN_IF_ERROR(file.write_at(offset, buffer));
    offset += got;
  }
  if (tail.offset + page_bytes <= current_.size_bytes) {
    LS_RETURN_IF_ERROR(file.write_at(tail.offset, std::string(page_bytes, '\0')));
  }
  return file.sync();
}

Status Log::Writer::remove_segments(const std::vector<std::uint64_t>& numbers) {
  // The newest first: what is left after a crash still shows the same end.
  std::vector<std::uint64_t> ordered = numbers;
  std::ranges::sort(ordered, std::greater<>());
  for (const std::uint64_t number : ordered) {
    LS_RETURN_IF_ERROR(directory_.disk.remove(path_of(segment_name(number))));
    LS_RETURN_IF_ERROR(directory_.disk.sync_directory(options_.directory));
  }
  return {};
}

// Of the empty segments behind the tail one becomes the next.
Status Log::Writer::adopt_prepared() {
  std::vector<std::uint64_t> surplus = recovered_.behind;
  if (!surplus.empty() && surplus.front() == current_.number + 1) {
    Segment segment{surplus.front(), nullptr, 0};
    LS_ASSIGN_OR_RETURN(
        segment.file, directory_.disk.open(path_of(segment_name(segment.number)), env::OpenMode::read_write));
    LS_ASSIGN_OR_RETURN(segment.size_bytes, segment.file->size());
    if (segment.size_bytes == options_.segment_bytes) {
      LS_RETURN_IF_ERROR(clean_segment(*segment.file, directory_.identity.incarnation, segment.number));
      next_ = std::move(segment);
      surplus.erase(surplus.begin());
    }
  }
  return remove_segments(surplus);
}

Status Log::Writer::settle_tail() {
  LS_MUST(!needs_discard_);
  const Tail& tail = recovered_.tail;
  // Names that an earlier process saw may not be durable yet.
  LS_RETURN_IF_ERROR(directory_.disk.sync_directory(options_.directory));
  current_.number = tail.segment;
  LS_ASSIGN_OR_RETURN(current_.file,
                      directory_.disk.open(path_of(segment_name(tail.segment)), env::OpenMode::read_write));
  LS_ASSIGN_OR_RETURN(current_.size_bytes, current_.file->size());
  // What a killed process left in the page cache becomes durable first, then the proof of it, and only then
  // its page is written again: if the power goes in that write, the loss is noticed.
  LS_RETURN_IF_ERROR(current_.file->sync());
  durable_ = {tail.segment, tail.offset, tail.checksum, recovered_.state};
  for (const env::Write& slot : proof_in_both_pages()) {
    LS_RETURN_IF_ERROR(current_.file->write_at(slot.offset, slot.bytes.view()));
  }
  LS_RETURN_IF_ERROR(current_.file->sync());
  LS_RETURN_IF_ERROR(rewrite_last_record(*current_.file));
  proved_group_ = durable_.state.group;
  offset_ = tail.offset;
  checksum_ = tail.checksum;
  segments_ = std::move(recovered_.segments);
  LS_RETURN_IF_ERROR(remove_segments(recovered_.skipped));
  LS_RETURN_IF_ERROR(adopt_prepared());
  for (const std::uint64_t number : recovered_.bad_headers) {
    auto file = directory_.disk.open(path_of(segment_name(number)), env::OpenMode::read_write);
    if (!file.ok()) continue;  // it was removed just now
    LS_RETURN_IF_ERROR(
        (*file)->write_at(0, encode_segment_header({directory_.identity.incarnation, number})));
    LS_RETURN_IF_ERROR((*file)->sync());
  }
  return {};
}

// The log goes on in a fresh segment whose first record continues the chain where it broke and says so. Only
// when that is durable the damaged rest goes: until then the next open finds the same damage.
Status Log::Writer::discard_damaged_tail() {
  LS_MUST(needs_discard_);
  const IncarnationId incarnation = directory_.identity.incarnation;
  LS_RETURN_IF_ERROR(directory_.disk.sync_directory(options_.directory));
  SegmentRequest request{
      options_.directory, incarnation, segment_number_max_ + 1, options_.segment_bytes, {}};
  LS_ASSIGN_OR_RETURN(current_, prepare_segment(directory_.disk, request));
  segment_number_max_ = request.number;

  RecordHeader header;
  header.previous = recovered_.tail.checksum;
  header.repair = true;
  header.state = recovered_.state;
  header.state.group = std::max(recovered_.state.group, recovered_.evidence.group) + 1;
  header.state.in_doubt = true;
  GroupEncoder::Encoded encoded =
      GroupEncoder().finish(header, {incarnation, current_.number, records_offset}, current_.size_bytes);
  std::uint64_t at = records_offset;
  for (const SharedBytes& piece : encoded.pieces) {
    LS_RETURN_IF_ERROR(current_.file->write_at(at, piece.view()));
    at += piece.size();
  }
  LS_RETURN_IF_ERROR(current_.file->sync());
  LS_RETURN_IF_ERROR(remove_segments(recovered_.behind));

  queued_ = written_ = header.state;
  offset_ = records_offset + encoded.space_bytes;
  checksum_ = encoded.checksum;
  durable_ = {current_.number, offset_, checksum_, header.state};
  proof_wanted_ = true;  // it has the vote
  segments_ = std::move(recovered_.segments);
  segments_.push_back({current_.number, LogIndex{}});
  needs_discard_ = false;
  start();
  return {};
}

void Log::Writer::start() {
  LS_MUST(!needs_discard_);
  if (!next_) prepare_next();
}

// ---- while it runs

void Log::Writer::prepare_next() {
  if (preparing_ || next_ || failed_) return;
  preparing_ = true;
  SegmentRequest request{options_.directory, directory_.identity.incarnation, current_.number + 1,
                         options_.segment_bytes, std::nullopt};
  if (!directory_.spares.empty()) {
    request.spare = directory_.spares.back();
    directory_.spares.pop_back();
  }
  auto result = std::make_shared<std::optional<Result<Segment>>>();
  worker_.submit([&disk = directory_.disk, lock = directory_.lock, request,
                  result] { *result = prepare_segment(disk, request); },
                 [this, alive = std::weak_ptr<bool>(alive_), request, result] {
                   if (alive.expired()) return;
                   stats_.segments_reused += request.spare && (*result)->ok() ? 1 : 0;
                   on_prepared(std::move(**result));
                 });
}

void Log::Writer::on_prepared(Result<Segment> result) {
  LS_MUST(preparing_);
  preparing_ = false;
  if (!result.ok() && result.status().code() == Code::resource_exhausted) {
    disk_full_ = true;
    return;
  }
  if (!result.ok()) return fail(result.status());
  disk_full_ = false;
  ++stats_.segments_made;
  next_ = std::move(*result);
  LS_MUST(next_->number == current_.number + 1);
  waits_for_segment_ = false;
  pump();
}

bool Log::Writer::rotate() {
  LS_MUST(!under_way_);
  if (!next_) {
    if (!waits_for_segment_) ++stats_.waits_for_segment;
    waits_for_segment_ = true;
    if (!disk_full_) prepare_next();
    return false;
  }
  current_ = std::move(*next_);
  next_.reset();
  offset_ = records_offset;
  segment_number_max_ = std::max(segment_number_max_, current_.number);
  segments_.push_back({current_.number, LogIndex{}});
  prepare_next();
  return true;
}

void Log::Writer::try_again() {
  if (disk_full_ && !needs_discard_) prepare_next();
}

// Prepared room that nobody else on the disk can use: not while it is short.
std::size_t Log::Writer::spares_wanted(env::Disk& disk, const Options& options) {
  const Result<std::uint64_t> free = disk.free_bytes();
  const bool short_of_room = !free.ok() || *free < options.free_segments_min * options.segment_bytes;
  return short_of_room ? std::min<std::size_t>(options.spare_segments_max, 1) : options.spare_segments_max;
}

void Log::Writer::release(LogIndex index) {
  if (needs_discard_ || failed_) return;
  std::vector<std::uint64_t> released;
  // Never the one with the last durable record: the next begins empty, and stays so if the member dies now.
  while (segments_.front().number < durable_.segment && segments_.front().highest <= index) {
    LS_MUST(segments_.size() > 1);
    released.push_back(segments_.front().number);
    segments_.erase(segments_.begin());
  }
  if (released.empty()) return try_again();
  stats_.segments_released += released.size();
  std::size_t kept = directory_.spares.size() + recycling_;
  std::vector<std::uint64_t> spares;
  const std::size_t wanted = spares_wanted(directory_.disk, options_);
  for (const std::uint64_t number : released) {
    if (kept >= wanted) break;
    spares.push_back(number);
    ++kept;
  }
  recycling_ += spares.size();
  auto status = std::make_shared<Status>();
  worker_.submit([&disk = directory_.disk, lock = directory_.lock, directory = options_.directory, released,
                  spares, status] { *status = recycle_segments(disk, directory, released, spares.size()); },
                 [this, alive = std::weak_ptr<bool>(alive_), spares, status] {
                   if (alive.expired()) return;
                   recycling_ -= spares.size();
                   if (!status->ok()) return fail(*status);
                   directory_.spares.insert(directory_.spares.end(), spares.begin(), spares.end());
                   try_again();
                 });
}

}  // namespace lockstep::log
