#include "replica/naming.h"

#include <string>
#include <xxhash.h>

namespace lockstep::replica {
namespace {

std::uint64_t id_of(std::string_view kind, std::string_view token, std::string_view rest) {
  std::string text(kind);
  text.append("\n").append(token).append("\n").append(rest);
  const std::uint64_t hash = XXH3_64bits(text.data(), text.size());
  return hash == 0 ? 1 : hash;
}

}  // namespace

ClusterId cluster_id_of(std::string_view token) {
  return ClusterId(id_of("cluster", token, ""));
}

NodeId node_id_of(std::string_view token, std::string_view peer_address) {
  return NodeId(id_of("member", token, peer_address));
}

}  // namespace lockstep::replica
