#include "replica/addresses.h"

#include <algorithm>
#include <map>

#include "base/codec.h"
#include "base/limits.h"

namespace lockstep::replica {
namespace {

constexpr std::size_t address_bytes_max = 256;  // a DNS name with a port
constexpr std::size_t name_bytes_max = 64;
constexpr std::size_t url_bytes_max = address_bytes_max + 8;
// Members that left stay listed until their place is needed; never more than twice the members.
constexpr std::size_t addresses_max = 2 * limits::members_max;
static_assert(addresses_max * (address_bytes_max + name_bytes_max + url_bytes_max + 32) <=
              raft::configuration_context_bytes_max);

bool fits(const Member& member) {
  return member.id != NodeId{} && member.address.size() <= address_bytes_max &&
         member.name.size() <= name_bytes_max && member.client_url.size() <= url_bytes_max;
}

}  // namespace

std::string encode_addresses(std::vector<Member> members) {
  std::map<NodeId, Member> sorted;
  for (Member& member : members) sorted[member.id] = std::move(member);
  std::string context;
  Encoder encoder(&context);
  encoder.varint(sorted.size());
  for (const auto& [id, member] : sorted) {
    encoder.id(id);
    encoder.bytes(member.address);
    encoder.bytes(member.name);
    encoder.bytes(member.client_url);
    encoder.boolean(member.promote);
  }
  return context;
}

Result<std::vector<Member>> decode_addresses(std::string_view context) {
  Decoder decoder(context);
  const std::uint64_t count = decoder.varint();
  if (!decoder.ok() || count > addresses_max) return Status(Code::corruption, "member addresses: bad count");
  std::vector<Member> members;
  for (std::uint64_t i = 0; i < count; ++i) {
    Member member;
    member.id = decoder.id<NodeId>();
    member.address = decoder.bytes();
    member.name = decoder.bytes();
    member.client_url = decoder.bytes();
    member.promote = decoder.boolean();
    if (!decoder.ok() || !fits(member)) return Status(Code::corruption, "member addresses: bad entry");
    members.push_back(std::move(member));
  }
  if (!decoder.done()) return Status(Code::corruption, "member addresses: bytes left over");
  return members;
}

bool listable(const Member& member) {
  return fits(member);
}

std::string merge_addresses(const raft::Configuration& configuration, const std::vector<Member>& added) {
  const Result<std::vector<Member>> known = decode_addresses(configuration.context);
  std::vector<Member> members = known.ok() ? *known : std::vector<Member>{};
  if (members.size() + added.size() > addresses_max)
    std::erase_if(members, [&](const Member& member) { return !configuration.contains(member.id); });
  members.insert(members.end(), added.begin(), added.end());
  return encode_addresses(std::move(members));
}

}  // namespace lockstep::replica
