#include "cli/snapshot_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>

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

// Hands frames on to the decoder, and tells where they end: what follows is padding.
class Frames {
 public:
  explicit Frames(SnapshotStatus* status)
      : decoder_([status](auto table, auto key, auto value) { return take_row(status, table, key, value); }) {
  }

  Status feed(std::string_view bytes) {
    while (!bytes.empty() && !over_) {
      const std::size_t taken = std::min(bytes.size(), wanted_);
      const std::string_view part = bytes.substr(0, taken);
      bytes.remove_prefix(taken);
      wanted_ -= taken;
      if (in_head_) head_.append(part);
      if (!in_head_ || !begun_) LS_RETURN_IF_ERROR(decoder_.feed(part));
      if (wanted_ == 0) LS_RETURN_IF_ERROR(next());
    }
    if (std::ranges::any_of(bytes, [](char c) { return c != '\0'; }) && over_) stray_ = true;
    return {};
  }
  [[nodiscard]] Status finish() const { return decoder_.finish(); }
  [[nodiscard]] bool stray() const { return stray_; }

 private:
  Status next() {
    if (!begun_) {
      begun_ = true;
      head_.clear();
      wanted_ = store::snapshot_format::frame_head_bytes;
      return {};
    }
    if (!in_head_) {
      in_head_ = true;
      wanted_ = store::snapshot_format::frame_head_bytes;
      return {};
    }
    const std::uint32_t length = Decoder(head_).u32();
    over_ = length == 0;  // padding: no frame is empty
    if (!over_) LS_RETURN_IF_ERROR(decoder_.feed(head_));
    head_.clear();
    in_head_ = false;
    wanted_ = length;
    return {};
  }

  static Status take_row(SnapshotStatus* status, engine::Table table, std::string_view key,
                         std::string_view value) {
    switch (table) {
      case engine::Table::meta: {
        ++status->rows_meta;
        if (key != store::state_row_key()) return {};
        LS_ASSIGN_OR_RETURN(const store::StateRow row, store::decode_state_row(value));
        status->revision = row.revision;
        status->compacted = row.compacted;
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

  store::SnapshotDecoder decoder_;
  std::string head_;
  std::size_t wanted_ = store::snapshot_format::magic.size();
  bool begun_ = false;
  bool in_head_ = true;
  bool over_ = false;
  bool stray_ = false;
};

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

Result<SnapshotStatus> snapshot_status(const std::string& path) {
  SnapshotStatus status;
  TrailingHash hash;
  std::string begin;
  LS_RETURN_IF_ERROR(read_pieces(path, [&](std::string_view piece) {
    if (begin.size() < store::snapshot_format::magic.size())
      begin += piece.substr(0, store::snapshot_format::magic.size() - begin.size());
    status.bytes += piece.size();
    hash.add(piece);
    return Status();
  }));
  if (!hash.matches())
    return Status(Code::corruption, fmt::format("{}: its checksum does not fit: cut short or changed", path));
  status.format = begin == store::snapshot_format::magic ? "lockstep" : "etcd";
  if (status.format == "etcd") return status;
  Frames frames(&status);
  std::uint64_t left = status.bytes - sha256_bytes;
  LS_RETURN_IF_ERROR(read_pieces(path, [&](std::string_view piece) {
    const std::string_view part = piece.substr(0, std::min<std::uint64_t>(piece.size(), left));
    left -= part.size();
    return frames.feed(part);
  }));
  LS_RETURN_IF_ERROR(frames.finish());
  if (frames.stray()) return Status(Code::corruption, fmt::format("{}: bytes behind the last row", path));
  return status;
}

}  // namespace lockstep::cli
