#include "log/identity.h"

#include <array>

#include "base/codec.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "log/segment.h"

namespace lockstep::log {
namespace {

constexpr std::uint64_t identity_magic = 0x314e4544494b534c;  // "LSKIDEN1" in a hex dump
constexpr std::size_t identity_bytes = 4 + 8 + 4 + 3 * 8;
constexpr std::array<std::string_view, 2> copies = {"identity-a", "identity-b"};

Result<Identity> read_copy(env::Disk& disk, const std::string& path) {
  LS_ASSIGN_OR_RETURN(auto file, disk.open(path, env::OpenMode::read_only));
  std::string bytes(identity_bytes + 1, '\0');
  LS_ASSIGN_OR_RETURN(const std::size_t got, file->read_at(0, bytes));
  bytes.resize(got);
  return decode_identity(bytes);
}

Status write_copy(env::Disk& disk, const std::string& directory, std::string_view name,
                  const Identity& identity) {
  const std::string path = directory + "/" + std::string(name);
  const std::string temporary = path + ".making";
  if (Status removed = disk.remove(temporary); !removed.ok() && removed.code() != Code::not_found) {
    return removed;
  }
  LS_ASSIGN_OR_RETURN(auto file, disk.open(temporary, env::OpenMode::create_new));
  LS_RETURN_IF_ERROR(file->write_at(0, encode_identity(identity)));
  LS_RETURN_IF_ERROR(file->sync());
  LS_RETURN_IF_ERROR(disk.rename(temporary, path));
  if (LS_PLANTED(rename_without_directory_sync)) return {};
  return disk.sync_directory(directory);
}

}  // namespace

std::string encode_identity(const Identity& identity) {
  std::string rest;
  Encoder encoder(&rest);
  encoder.u64(identity_magic);
  encoder.u32(format_version);
  encoder.u64(identity.cluster.value());
  encoder.u64(identity.node.value());
  encoder.u64(identity.incarnation.value());
  std::string result;
  Encoder(&result).u32(crc32c(rest));
  return result + rest;
}

Result<Identity> decode_identity(std::string_view bytes) {
  if (bytes.size() != identity_bytes) return {Code::corruption, "an identity file has a wrong size"};
  Decoder decoder(bytes);
  if (decoder.u32() != crc32c(decoder.rest())) return {Code::corruption, "an identity file is damaged"};
  if (decoder.u64() != identity_magic) return {Code::corruption, "not an identity file"};
  const std::uint32_t version = decoder.u32();
  if (version != format_version) {
    return {Code::failed_precondition, "the directory has format " + std::to_string(version) +
                                           ", this program knows format " + std::to_string(format_version)};
  }
  Identity identity;
  identity.cluster = ClusterId(decoder.u64());
  identity.node = NodeId(decoder.u64());
  identity.incarnation = IncarnationId(decoder.u64());
  LS_MUST(decoder.done());
  return identity;
}

Result<Identity> load_identity(env::Disk& disk, const std::string& directory) {
  auto first = read_copy(disk, directory + "/" + std::string(copies[0]));
  auto second = read_copy(disk, directory + "/" + std::string(copies[1]));
  for (const auto* copy : {&first, &second}) {
    const Code code = copy->status().code();
    // A newer program's directory is none of ours to repair; a disk that cannot be read neither.
    if (code != Code::ok && code != Code::not_found && code != Code::corruption) return copy->status();
  }
  if (first.ok() && second.ok()) {
    if (*first == *second) return first;
    return {Code::corruption, "the two identity files disagree"};
  }
  if (first.ok()) {
    LS_RETURN_IF_ERROR(write_copy(disk, directory, copies[1], *first));
    return first;
  }
  if (second.ok()) {
    LS_RETURN_IF_ERROR(write_copy(disk, directory, copies[0], *second));
    return second;
  }
  if (first.status().code() == Code::not_found && second.status().code() == Code::not_found) return first;
  return {Code::corruption, "both identity files are damaged"};
}

Status store_identity(env::Disk& disk, const std::string& directory, const Identity& identity) {
  for (const std::string_view copy : copies) {
    LS_RETURN_IF_ERROR(write_copy(disk, directory, copy, identity));
  }
  return {};
}

}  // namespace lockstep::log
