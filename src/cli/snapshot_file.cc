#include "cli/snapshot_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <openssl/evp.h>

#include "base/assert.h"
#include "base/codec.h"
#include "store/rows.h"
#include "store/snapshot.h"

namespace lockstep::cli {
namespace {

constexpr std::size_t piece_bytes = 1 << 20;

// Each piece of the file; stops at the first error.
Status read_pieces(const std::string& path, const std::function<Status(std::string_view)>& visit) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return {errno == ENOENT ? Code::not_found : Code::io_error,
            fmt::format("{}: {}", path, std::strerror(errno))};
  std::string piece(piece_bytes, '\0');
  while (file) {
    file.read(piece.data(), static_cast<std::streamsize>(piece.size()));
    LS_RETURN_IF_ERROR(visit(std::string_view(piece).substr(0, static_cast<std::size_t>(file.gcount()))));
  }
  if (file.bad()) return {Code::io_error, fmt::format("{}: cannot be read", path)};
  return {};
}

// bbolt keeps its number behind the head of the first page.
constexpr std::string_view bbolt_magic = "\xed\xda\x0c\xed";
constexpr std::size_t bbolt_magic_offset = 16;
constexpr std::size_t front_bytes = bbolt_magic_offset + bbolt_magic.size();
// What is hashed is a multiple of this.
constexpr std::uint64_t block_bytes = 512;

Result<SnapshotFormat> format_of(const std::string& path, std::string_view front) {
  if (front.empty()) return Status(Code::corruption, fmt::format("{}: is empty", path));
  if (front.starts_with(store::snapshot_format::magic)) return SnapshotFormat::lockstep;
  if (front.size() == front_bytes && front.ends_with(bbolt_magic)) return SnapshotFormat::etcd;
  return Status(Code::corruption, fmt::format("{}: is no snapshot: it begins neither as one of lockstepd nor "
                                              "as one of etcd",
                                              path));
}

Status check_size(const std::string& path, std::uint64_t bytes) {
  if (bytes % block_bytes == sha256_bytes && bytes > sha256_bytes) return {};
  if (bytes % block_bytes == 0)
    return {Code::corruption,
            fmt::format("{}: has no hash at its end. Is it a copy out of a data directory? Only "
                        "what `snapshot save` wrote can be trusted",
                        path)};
  return {
      Code::corruption,
      fmt::format("{}: was cut short, or something was appended: it has {} bytes, a whole one has {} more "
                  "than a multiple of {}",
                  path, bytes, sha256_bytes, block_bytes)};
}

Status take_row(SnapshotStatus* status, engine::Table table, std::string_view key, std::string_view value) {
  switch (table) {
    case engine::Table::meta: {
      ++status->rows_meta;
      if (key != store::state_row_key()) return {};
      LS_ASSIGN_OR_RETURN(const store::StateRow row, store::decode_state_row(value));
      status->revision = row.revision;
      status->compacted = std::max(row.compacted, Revision());
      status->index = row.applied_index;
      status->term = row.applied_term;
      return {};
    }
    case engine::Table::history:
      ++status->rows_history;
      return {};
    case engine::Table::pinned:
      ++status->rows_pinned;
      return {};
    case engine::Table::current:
      ++status->rows_current;
      return {};
  }
  return {};
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  LS_MUST(state_->context != nullptr);
  LS_MUST(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}

Sha256::~Sha256() {
  EVP_MD_CTX_free(state_->context);
}

void Sha256::add(std::string_view bytes) {
  LS_MUST(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
}

std::string Sha256::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  LS_MUST(EVP_DigestFinal_ex(state_->context, digest.data(), &size) == 1);
  LS_MUST(size == sha256_bytes);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

void TrailingHash::add(std::string_view bytes) {
  tail_.append(bytes);
  if (tail_.size() <= sha256_bytes) return;
  const std::size_t settled = tail_.size() - sha256_bytes;
  hash_.add(std::string_view(tail_).substr(0, settled));
  tail_.erase(0, settled);
}

bool TrailingHash::matches() {
  return tail_.size() == sha256_bytes && hash_.finish() == tail_;
}

SnapshotStream::SnapshotStream(SnapshotPieces consumer)
    : consumer_(std::move(consumer)), wanted_(store::snapshot_format::magic.size()) {}

Status SnapshotStream::feed(std::string_view bytes) {
  while (!bytes.empty() && !over_) {
    const std::size_t taken = std::min(bytes.size(), wanted_);
    const std::string_view part = bytes.substr(0, taken);
    bytes.remove_prefix(taken);
    wanted_ -= taken;
    if (in_head_) head_.append(part);
    if (!in_head_ || !begun_) LS_RETURN_IF_ERROR(consumer_(part));
    if (wanted_ == 0) LS_RETURN_IF_ERROR(next());
  }
  if (over_ && std::ranges::any_of(bytes, [](char c) { return c != '\0'; })) stray_ = true;
  return {};
}

Status SnapshotStream::next() {
  if (!begun_ || !in_head_) {
    begun_ = true;
    in_head_ = true;
    head_.clear();
    wanted_ = store::snapshot_format::frame_head_bytes;
    return {};
  }
  const std::uint32_t length = Decoder(head_).u32();
  over_ = length == 0;  // padding: no frame is empty
  if (!over_) LS_RETURN_IF_ERROR(consumer_(head_));
  head_.clear();
  in_head_ = false;
  wanted_ = length;
  return {};
}

Result<SnapshotFile> check_snapshot_file(const std::string& path, const SnapshotProgress& progress) {
  SnapshotFile file;
  file.path = path;
  TrailingHash hash;
  std::string front;
  LS_RETURN_IF_ERROR(read_pieces(path, [&](std::string_view piece) {
    const bool first = file.bytes == 0;
    if (first) front = piece.substr(0, front_bytes);
    file.bytes += piece.size();
    hash.add(piece);
    progress(file.bytes);
    return first ? format_of(path, front).status() : Status();
  }));
  LS_ASSIGN_OR_RETURN(file.format, format_of(path, front));
  LS_RETURN_IF_ERROR(check_size(path, file.bytes));
  if (!hash.matches())
    return Status(Code::corruption,
                  fmt::format("{}: was changed: it does not fit the hash at its end", path));
  for (const char c : hash.tail()) file.sha256 += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return file;
}

Status read_snapshot_stream(const SnapshotFile& file, const SnapshotProgress& progress,
                            const SnapshotPieces& consumer) {
  LS_MUST(file.format == SnapshotFormat::lockstep);
  SnapshotStream stream(consumer);
  std::uint64_t left = file.bytes - sha256_bytes;
  LS_RETURN_IF_ERROR(read_pieces(file.path, [&](std::string_view piece) {
    const std::string_view part = piece.substr(0, std::min<std::uint64_t>(piece.size(), left));
    left -= part.size();
    progress(file.bytes - left);
    return stream.feed(part);
  }));
  if (stream.stray()) return {Code::corruption, fmt::format("{}: bytes behind the last row", file.path)};
  return {};
}

Result<SnapshotStatus> snapshot_status(const std::string& path, const SnapshotProgress& progress) {
  SnapshotStatus status;
  LS_ASSIGN_OR_RETURN(status.file, check_snapshot_file(path, progress));
  if (status.file.format == SnapshotFormat::etcd) return status;
  store::SnapshotDecoder decoder(
      [&status](auto table, auto key, auto value) { return take_row(&status, table, key, value); });
  LS_RETURN_IF_ERROR(read_snapshot_stream(status.file, progress,
                                          [&](std::string_view bytes) { return decoder.feed(bytes); }));
  LS_RETURN_IF_ERROR(decoder.finish());
  return status;
}

}  // namespace lockstep::cli
