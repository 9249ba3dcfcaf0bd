#include "replica/birth.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/codec.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "base/planted.h"

namespace lockstep::replica {
namespace {

constexpr const char* certificate_path = "birth";
constexpr const char* temporary_path = "birth.making";
constexpr std::size_t certificate_bytes_max = 4 + 2 + limits::members_max * (10 + 8);

Status malformed() {
  return Status(Code::corruption, "malformed birth message");
}

void encode_members(Encoder& encoder, const Certificate& certificate) {
  encoder.varint(certificate.size());
  for (const auto& [node, incarnation] : certificate) {
    encoder.id(node);
    encoder.u64(incarnation.value());
  }
}

Certificate decode_members(Decoder& decoder) {
  Certificate certificate;
  const std::uint64_t count = decoder.varint();
  if (count > limits::members_max) decoder.fail();
  NodeId last;
  for (std::uint64_t i = 0; decoder.ok() && i < count; ++i) {
    const auto node = decoder.id<NodeId>();
    const IncarnationId incarnation(decoder.u64());
    if (node <= last) decoder.fail();  // ascending: one certificate has one encoding
    last = node;
    certificate.emplace(node, incarnation);
  }
  return certificate;
}

Status store(env::Disk& disk, const Certificate& certificate) {
  if (const Status removed = disk.remove(temporary_path);
      !removed.ok() && removed.code() != Code::not_found) {
    return removed;
  }
  LS_ASSIGN_OR_RETURN(auto file, disk.open(temporary_path, env::OpenMode::create_new));
  LS_RETURN_IF_ERROR(file->write_at(0, encode_certificate(certificate)));
  LS_RETURN_IF_ERROR(file->sync());
  LS_RETURN_IF_ERROR(disk.rename(temporary_path, certificate_path));
  return disk.sync_directory("");
}

}  // namespace

std::string encode_certificate(const Certificate& certificate) {
  std::string body;
  Encoder encoder(&body);
  encode_members(encoder, certificate);
  std::string bytes;
  Encoder(&bytes).u32(crc32c(body));
  return bytes + body;
}

Result<Certificate> decode_certificate(std::string_view bytes) {
  Decoder decoder(bytes);
  if (decoder.u32() != crc32c(decoder.rest()))
    return Status(Code::corruption, "the birth certificate is damaged");
  Certificate certificate = decode_members(decoder);
  if (!decoder.done() || certificate.empty())
    return Status(Code::corruption, "the birth certificate is malformed");
  return certificate;
}

Birth::Birth(env::Disk& disk, NodeId self, IncarnationId incarnation, std::vector<NodeId> founders)
    : disk_(&disk), self_(self), incarnation_(incarnation), founders_(std::move(founders)) {
  std::ranges::sort(founders_);
}

Result<Birth> Birth::load(env::Disk& disk, NodeId self, IncarnationId incarnation,
                          std::vector<NodeId> founders) {
  Birth birth(disk, self, incarnation, std::move(founders));
  auto file = disk.open(certificate_path, env::OpenMode::read_only);
  if (file.ok()) {
    std::string bytes(certificate_bytes_max + 1, '\0');
    LS_ASSIGN_OR_RETURN(const std::size_t length, (*file)->read_at(0, bytes));
    LS_ASSIGN_OR_RETURN(birth.certificate_, decode_certificate(std::string_view(bytes).substr(0, length)));
    const auto own = birth.certificate_.find(self);
    const bool named = own != birth.certificate_.end() && own->second == incarnation;
    birth.state_ = named ? BirthState::born : BirthState::doubtful;
    return birth;
  }
  if (file.status().code() != Code::not_found) return file.status();
  if (LS_PLANTED(wiped_member_founds)) {
    birth.state_ = BirthState::born;
  } else if (!std::ranges::binary_search(birth.founders_, self)) {
    birth.state_ = BirthState::doubtful;
  } else if (birth.founders_.size() == 1) {
    LS_RETURN_IF_ERROR(birth.become_born({{self, incarnation}}));
  }
  return birth;
}

Result<bool> Birth::is_recorded(env::Disk& disk) {
  const auto file = disk.open(certificate_path, env::OpenMode::read_only);
  if (file.status().code() == Code::not_found) return false;
  if (!file.ok()) return file.status();
  return true;
}

// A member that joined passes on what it was told, without its own record: else certificates would grow with
// every member that ever joined.
std::string Birth::message(NodeId to) const {
  const auto heard = heard_.find(to);
  Certificate told = certificate_;
  if (told.size() > 1 && !std::ranges::binary_search(founders_, self_)) told.erase(self_);
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u64(incarnation_.value());
  encoder.u64(heard == heard_.end() ? 0 : heard->second.value());
  encode_members(encoder, told);
  return bytes;
}

Status Birth::inherit(Certificate certificate) {
  if (has_certificate() || certificate.size() <= 1 || certificate.size() >= limits::members_max) return {};
  if (state_ == BirthState::born) {
    certificate[self_] = incarnation_;
    LS_RETURN_IF_ERROR(store(*disk_, certificate));
  }
  certificate_ = std::move(certificate);
  return {};
}

Status Birth::become_born(Certificate certificate) {
  LS_MUST(state_ == BirthState::waiting);
  LS_MUST(certificate.contains(self_));
  LS_RETURN_IF_ERROR(store(*disk_, certificate));
  certificate_ = std::move(certificate);
  state_ = BirthState::born;
  return Status();
}

bool Birth::is_question(std::string_view message) {
  Decoder decoder(message);
  decoder.u64();
  decoder.u64();
  return decode_members(decoder).empty() && decoder.done();
}

Status Birth::restore_vote() {
  // The others' part stays: a founder that is wiped later must still find a certificate that does not name
  // it.
  Certificate renewed = certificate_;
  renewed[self_] = incarnation_;
  LS_RETURN_IF_ERROR(store(*disk_, renewed));
  certificate_ = std::move(renewed);
  state_ = BirthState::born;
  return Status();
}

Result<bool> Birth::receive(NodeId from, std::string_view message) {
  Decoder decoder(message);
  const IncarnationId incarnation(decoder.u64());
  const IncarnationId spoken_to(decoder.u64());
  Certificate certificate = decode_members(decoder);
  if (!decoder.done()) return malformed();
  if (std::ranges::binary_search(founders_, from)) heard_[from] = incarnation;
  if (state_ != BirthState::waiting) {
    LS_RETURN_IF_ERROR(inherit(std::move(certificate)));
    return false;
  }
  if (certificate.size() > 1 || founders_.size() == 1) {
    const auto own = certificate.find(self_);
    if (own != certificate.end() && own->second == incarnation_) {
      LS_RETURN_IF_ERROR(become_born(std::move(certificate)));
    } else {
      certificate_ = std::move(certificate);
      state_ = BirthState::doubtful;
    }
    return true;
  }
  if (!certificate.empty() && std::ranges::binary_search(founders_, from)) {
    // Another founder was born in a cluster that grew from one member: so this one was there before, too, and
    // lost what it knew.
    state_ = BirthState::doubtful;
    return true;
  }
  if (founders_.front() != self_) return false;  // not the registrar
  if (!std::ranges::binary_search(founders_, from)) return false;
  if (spoken_to != incarnation_) return false;  // it has not heard of this life yet
  unborn_[from] = incarnation;
  unborn_[self_] = incarnation_;
  if (unborn_.size() < founders_.size()) return false;
  LS_RETURN_IF_ERROR(become_born(unborn_));
  return true;
}

}  // namespace lockstep::replica
