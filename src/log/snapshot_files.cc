#include "log/snapshot_files.h"

#include <algorithm>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/planted.h"
#include "log/names.h"
#include "log/segment.h"

namespace lockstep::log {
namespace {

constexpr std::uint64_t header_magic = 0x31504e534b534c;   // "LSKSNP1" in a hex dump
constexpr std::uint64_t trailer_magic = 0x31444e454b534c;  // "LSKEND1"
constexpr std::size_t header_fixed_bytes = 4 + 8 + 4 + 8 + 8 + 4;
constexpr std::size_t trailer_bytes = 4 + 8 + 8;
// One checksum covers this much; what a small read costs at least.
constexpr std::size_t block_data_bytes = 64 * limits::kibibyte;
constexpr std::size_t block_stride_bytes = block_data_bytes + 4;
// Synced in between, so that the end does not stall everyone's syncs for seconds.
constexpr std::uint64_t unsynced_bytes_max = 8 * limits::mebibyte;
constexpr std::string_view temporary_name = "snapshot.making";
constexpr std::string_view prefix = "snapshot-";

std::string name_of(LogIndex index, Term term) {
  return std::string(prefix) + number_to_name(index.value()) + "-" + number_to_name(term.value());
}

std::optional<LogIndex> index_in(std::string_view name) {
  if (!name.starts_with(prefix) || name.size() != prefix.size() + 2 * name_digits + 1) return std::nullopt;
  name.remove_prefix(prefix.size());
  const auto index = number_from_name(name.substr(0, name_digits));
  if (!index || name[name_digits] != '-' || !number_from_name(name.substr(name_digits + 1)))
    return std::nullopt;
  return LogIndex(*index);
}

Term term_in(std::string_view name) {
  return Term(number_from_name(name.substr(name.size() - name_digits)).value_or(0));
}

std::uint32_t block_salt(LogIndex index, Term term) {
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u64(index.value());
  encoder.u64(term.value());
  return crc32c(bytes);
}

std::uint32_t block_crc(std::uint32_t salt, std::uint64_t block, std::string_view data) {
  std::string number;
  Encoder(&number).u64(block);
  return crc32c_extend(crc32c_extend(salt, number), data);
}

std::uint64_t data_offset_of(std::size_t context_bytes) {
  return (header_fixed_bytes + context_bytes + page_bytes - 1) / page_bytes * page_bytes;
}

std::string encode_header(const SnapshotMeta& meta) {
  std::string rest;
  Encoder encoder(&rest);
  encoder.u64(header_magic);
  encoder.u32(format_version);
  encoder.u64(meta.index.value());
  encoder.u64(meta.term.value());
  encoder.u32(static_cast<std::uint32_t>(meta.context.size()));
  encoder.raw(meta.context);
  std::string result;
  Encoder(&result).u32(crc32c(rest));
  result += rest;
  result.resize(data_offset_of(meta.context.size()), '\0');
  return result;
}

std::string encode_trailer(std::uint64_t size_bytes, std::uint32_t salt) {
  std::string rest;
  Encoder encoder(&rest);
  encoder.u64(trailer_magic);
  encoder.u64(size_bytes);
  std::string result;
  Encoder(&result).u32(crc32c_extend(salt, rest));
  return result + rest;
}

std::uint64_t file_bytes_of(std::uint64_t data_offset, std::uint64_t size_bytes) {
  const std::uint64_t blocks = (size_bytes + block_data_bytes - 1) / block_data_bytes;
  return data_offset + size_bytes + 4 * blocks + trailer_bytes;
}

Status removed_if_there(const Status& status) {
  return status.code() == Code::not_found ? Status() : status;
}

Status sync_names(env::Disk& disk, const std::string& directory) {
  if (LS_PLANTED(rename_without_directory_sync)) return {};
  return disk.sync_directory(directory);
}

}  // namespace

Result<SnapshotMeta> decode_snapshot_header(std::string_view bytes) {
  if (bytes.size() < header_fixed_bytes) return {Code::corruption, "a snapshot file is too short"};
  Decoder decoder(bytes);
  const std::uint32_t crc = decoder.u32();
  const std::string_view covered = decoder.rest();
  if (decoder.u64() != header_magic) return {Code::corruption, "not a snapshot file"};
  const std::uint32_t version = decoder.u32();
  SnapshotMeta meta;
  meta.index = LogIndex(decoder.u64());
  meta.term = Term(decoder.u64());
  const std::uint32_t context_bytes = decoder.u32();
  if (context_bytes > snapshot_context_bytes_max) return {Code::corruption, "a snapshot header is damaged"};
  const std::string_view context = decoder.raw(context_bytes);
  if (!decoder.ok()) return {Code::corruption, "a snapshot file is too short"};
  if (crc != crc32c(covered.substr(0, header_fixed_bytes - 4 + context_bytes))) {
    return {Code::corruption, "a snapshot header is damaged"};
  }
  if (version != format_version) {
    return {Code::failed_precondition, "the snapshot has format " + std::to_string(version)};
  }
  meta.context = context;
  return meta;
}

Result<SnapshotFiles> SnapshotFiles::open(env::Disk& disk, std::string directory) {
  LS_RETURN_IF_ERROR(removed_if_there(disk.remove(directory + "/" + std::string(temporary_name))));
  // Names an earlier process saw may not be durable yet; what is decided on them (remove_old) must not be.
  LS_RETURN_IF_ERROR(disk.sync_directory(directory));
  return SnapshotFiles(disk, std::move(directory));
}

Result<std::vector<SnapshotMeta>> SnapshotFiles::list() {
  LS_ASSIGN_OR_RETURN(const std::vector<std::string> names, disk_->list(directory_));
  std::vector<SnapshotMeta> result;
  damaged_.clear();
  for (const std::string& name : names) {
    const auto index = index_in(name);
    if (!index) continue;
    auto reader = read(*index, term_in(name));
    if (reader.ok()) {
      result.push_back((*reader)->meta());
    } else if (reader.status().code() == Code::corruption) {
      damaged_.push_back(name);
    } else {
      return reader.status();
    }
  }
  std::ranges::sort(result, [](const SnapshotMeta& a, const SnapshotMeta& b) {
    return a.index != b.index ? a.index > b.index : a.term > b.term;
  });
  return result;
}

Result<std::unique_ptr<SnapshotWriter>> SnapshotFiles::create(const SnapshotMeta& meta) {
  if (meta.context.size() > snapshot_context_bytes_max) {
    return {Code::invalid_argument,
            "the context of a snapshot has at most " + std::to_string(snapshot_context_bytes_max) + " bytes"};
  }
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter(*disk_, directory_, meta));
  LS_RETURN_IF_ERROR(writer->begin());
  return writer;
}

Result<std::unique_ptr<SnapshotReader>> SnapshotFiles::read(LogIndex index, Term term) {
  std::unique_ptr<SnapshotReader> reader(new SnapshotReader());
  LS_ASSIGN_OR_RETURN(reader->file_,
                      disk_->open(directory_ + "/" + name_of(index, term), env::OpenMode::read_only));
  LS_ASSIGN_OR_RETURN(const std::uint64_t file_bytes, reader->file_->size());
  std::string header(std::min<std::uint64_t>(file_bytes, header_fixed_bytes + snapshot_context_bytes_max),
                     '\0');
  LS_ASSIGN_OR_RETURN(const std::size_t got, reader->file_->read_at(0, header));
  header.resize(got);
  LS_ASSIGN_OR_RETURN(reader->meta_, decode_snapshot_header(header));
  if (reader->meta_.index != index || reader->meta_.term != term) {
    return {Code::corruption, "a snapshot file has another one's name"};
  }
  reader->data_offset_ = data_offset_of(reader->meta_.context.size());
  reader->salt_ = block_salt(index, term);
  if (file_bytes < reader->data_offset_ + trailer_bytes)
    return {Code::corruption, "a snapshot file is too short"};
  std::string trailer(trailer_bytes, '\0');
  LS_ASSIGN_OR_RETURN(const std::size_t got_trailer,
                      reader->file_->read_at(file_bytes - trailer_bytes, trailer));
  Decoder decoder(std::string_view(trailer).substr(0, got_trailer));
  const std::uint32_t crc = decoder.u32();
  const bool sound = crc == crc32c_extend(reader->salt_, decoder.rest()) && decoder.u64() == trailer_magic;
  reader->size_bytes_ = decoder.u64();
  if (!sound || !decoder.ok() || file_bytes_of(reader->data_offset_, reader->size_bytes_) != file_bytes) {
    return {Code::corruption, "a snapshot file is damaged or cut off"};
  }
  return reader;
}

Status SnapshotFiles::remove(LogIndex index, Term term) {
  LS_RETURN_IF_ERROR(removed_if_there(disk_->remove(directory_ + "/" + name_of(index, term))));
  return disk_->sync_directory(directory_);
}

Status SnapshotFiles::remove_old(std::size_t keep_count) {
  LS_ASSIGN_OR_RETURN(const std::vector<SnapshotMeta> all, list());
  for (std::size_t i = keep_count; i < all.size(); ++i) LS_RETURN_IF_ERROR(remove(all[i].index, all[i].term));
  for (const std::string& name : damaged_) {
    LS_RETURN_IF_ERROR(removed_if_there(disk_->remove(directory_ + "/" + name)));
  }
  return damaged_.empty() ? Status() : disk_->sync_directory(directory_);
}

SnapshotWriter::SnapshotWriter(env::Disk& disk, std::string directory, SnapshotMeta meta)
    : disk_(&disk),
      directory_(std::move(directory)),
      meta_(std::move(meta)),
      salt_(block_salt(meta_.index, meta_.term)) {}

Status SnapshotWriter::begin() {
  const std::string path = directory_ + "/" + std::string(temporary_name);
  LS_RETURN_IF_ERROR(removed_if_there(disk_->remove(path)));
  LS_ASSIGN_OR_RETURN(file_, disk_->open(path, env::OpenMode::create_new));
  const std::string header = encode_header(meta_);
  LS_RETURN_IF_ERROR(file_->write_at(0, header));
  file_offset_ = header.size();
  block_.reserve(block_stride_bytes);
  return {};
}

SnapshotWriter::~SnapshotWriter() {
  if (file_ == nullptr) return;
  file_.reset();
  // What cannot be removed now is replaced by the next writer or removed by the next open.
  static_cast<void>(disk_->remove(directory_ + "/" + std::string(temporary_name)));
}

Status SnapshotWriter::write_block() {
  const std::uint32_t crc = block_crc(salt_, (size_bytes_ - 1) / block_data_bytes, block_);
  Encoder(&block_).u32(crc);
  LS_RETURN_IF_ERROR(file_->write_at(file_offset_, block_));
  file_offset_ += block_.size();
  unsynced_bytes_ += block_.size();
  block_.clear();
  if (unsynced_bytes_ < unsynced_bytes_max) return {};
  unsynced_bytes_ = 0;
  return file_->sync();
}

Status SnapshotWriter::append(std::uint64_t offset, std::string_view bytes) {
  if (file_ == nullptr || failed_) return {Code::failed_precondition, "the snapshot writer has ended"};
  if (offset != size_bytes_) {
    return {Code::invalid_argument, "a chunk at offset " + std::to_string(offset) + " where " +
                                        std::to_string(size_bytes_) + " is next"};
  }
  while (!bytes.empty()) {
    const std::size_t length = std::min(bytes.size(), block_data_bytes - block_.size());
    block_.append(bytes.substr(0, length));
    bytes.remove_prefix(length);
    size_bytes_ += length;
    if (block_.size() < block_data_bytes) break;
    if (Status written = write_block(); !written.ok()) {
      failed_ = true;
      return written;
    }
  }
  return {};
}

Status SnapshotWriter::finish() {
  if (file_ == nullptr || failed_) return {Code::failed_precondition, "the snapshot writer has ended"};
  failed_ = true;  // until all of it is done
  if (!block_.empty()) LS_RETURN_IF_ERROR(write_block());
  LS_RETURN_IF_ERROR(file_->write_at(file_offset_, encode_trailer(size_bytes_, salt_)));
  LS_RETURN_IF_ERROR(file_->sync());
  LS_RETURN_IF_ERROR(disk_->rename(directory_ + "/" + std::string(temporary_name),
                                   directory_ + "/" + name_of(meta_.index, meta_.term)));
  file_.reset();
  return sync_names(*disk_, directory_);
}

Status SnapshotReader::load_block(std::uint64_t block) {
  if (block == block_number_) return {};
  block_number_ = UINT64_MAX;
  const std::uint64_t begin = block * block_data_bytes;
  LS_MUST(begin < size_bytes_);
  const std::size_t length = std::min<std::uint64_t>(block_data_bytes, size_bytes_ - begin);
  block_.resize(length + 4);
  LS_ASSIGN_OR_RETURN(const std::size_t got,
                      file_->read_at(data_offset_ + block * block_stride_bytes, block_));
  if (got < block_.size()) return {Code::corruption, "a snapshot file was cut off"};
  const std::uint32_t crc = Decoder(std::string_view(block_).substr(length)).u32();
  block_.resize(length);
  if (crc != block_crc(salt_, block, block_)) {
    return {Code::corruption, "block " + std::to_string(block) + " of a snapshot is damaged"};
  }
  block_number_ = block;
  return {};
}

Result<std::size_t> SnapshotReader::read_at(std::uint64_t offset, std::span<char> buffer) {
  std::size_t done = 0;
  while (done < buffer.size() && offset < size_bytes_) {
    LS_RETURN_IF_ERROR(load_block(offset / block_data_bytes));
    const std::size_t inside = offset % block_data_bytes;
    const std::size_t length = std::min(buffer.size() - done, block_.size() - inside);
    std::copy_n(block_.data() + inside, length, buffer.data() + done);
    done += length;
    offset += length;
  }
  return done;
}

}  // namespace lockstep::log
