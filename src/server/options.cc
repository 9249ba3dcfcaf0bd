#include "server/options.h"

#include <xxhash.h>

#include <fmt/format.h>

namespace lockstep::server {
namespace {

// Never zero, which means "none".
std::uint64_t id_of(std::string_view kind, std::string_view token, std::string_view rest) {
  const std::string text = fmt::format("{}\n{}\n{}", kind, token, rest);
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

}  // namespace lockstep::server
