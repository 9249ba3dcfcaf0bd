#include "raft/configuration.h"

#include <algorithm>
#include <functional>

#include "base/assert.h"
#include "base/codec.h"

namespace lockstep::raft {
namespace {

constexpr std::uint8_t format_version = 1;

using Nodes = std::vector<NodeId>;

bool has(const Nodes& nodes, NodeId node) {
  return std::binary_search(nodes.begin(), nodes.end(), node);
}

void insert(Nodes& nodes, NodeId node) {
  const auto place = std::lower_bound(nodes.begin(), nodes.end(), node);
  LS_MUST(place == nodes.end() || *place != node);
  nodes.insert(place, node);
}

bool erase(Nodes& nodes, NodeId node) {
  const auto place = std::lower_bound(nodes.begin(), nodes.end(), node);
  if (place == nodes.end() || *place != node) return false;
  nodes.erase(place);
  return true;
}

bool sorted_without_doubles(const Nodes& nodes) {
  if (!nodes.empty() && nodes.front() == NodeId{}) return false;
  return std::adjacent_find(nodes.begin(), nodes.end(), std::greater_equal<>()) == nodes.end();
}

Status invalid(std::string what) {
  return Status(Code::invalid_argument, "configuration: " + std::move(what));
}

// One member's change. `next` has the voters and learners that are wanted; a demoted voter waits in
// learners_next while the old voters still count.
Status apply_one(const MemberChange& change, Configuration& next) {
  const std::string name = "member " + std::to_string(change.node.value());
  if (change.node == NodeId{}) return invalid("member 0 does not exist");
  switch (change.kind) {
    case MemberChangeKind::add_learner:
      if (next.contains(change.node)) return invalid(name + " is a member already");
      insert(next.learners, change.node);
      return {};
    case MemberChangeKind::promote:
      if (!erase(next.learners, change.node)) return invalid(name + " is not a learner");
      insert(next.voters, change.node);
      return {};
    case MemberChangeKind::demote:
      if (!erase(next.voters, change.node)) return invalid(name + " is not a voter");
      insert(next.learners_next, change.node);
      return {};
    case MemberChangeKind::remove:
      if (!erase(next.voters, change.node) && !erase(next.learners, change.node)) {
        return invalid(name + " is not a member");
      }
      return {};
  }
  return invalid("unknown kind of change");
}

void encode_nodes(Encoder& encoder, const Nodes& nodes) {
  encoder.varint(nodes.size());
  for (const NodeId node : nodes) encoder.id(node);
}

Nodes decode_nodes(Decoder& decoder) {
  const std::uint64_t count = decoder.varint();
  if (count > limits::members_max) decoder.fail();
  Nodes nodes;
  for (std::uint64_t i = 0; i < count && decoder.ok(); ++i) nodes.push_back(decoder.id<NodeId>());
  return nodes;
}

void describe(std::string& out, std::string_view name, const Nodes& nodes) {
  if (nodes.empty()) return;
  if (!out.empty()) out += ' ';
  out += name;
  for (const NodeId node : nodes) out += " " + std::to_string(node.value());
}

}  // namespace

bool Configuration::is_voter(NodeId node) const {
  return has(voters, node) || has(voters_outgoing, node);
}

bool Configuration::is_learner(NodeId node) const {
  return has(learners, node);
}

std::vector<NodeId> Configuration::members() const {
  Nodes all = voters;
  all.insert(all.end(), voters_outgoing.begin(), voters_outgoing.end());
  all.insert(all.end(), learners.begin(), learners.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

Status validate(const Configuration& configuration) {
  const Configuration& c = configuration;
  for (const Nodes* nodes : {&c.voters, &c.voters_outgoing, &c.learners, &c.learners_next}) {
    if (nodes->size() > limits::members_max) return invalid("too many members");
    if (!sorted_without_doubles(*nodes)) return invalid("members are not sorted, doubled or zero");
  }
  if (c.voters.empty()) return invalid("no voter is left");
  if (c.members().size() > limits::members_max) return invalid("too many members");
  for (const NodeId node : c.learners) {
    if (c.is_voter(node)) return invalid("a member is voter and learner");
  }
  for (const NodeId node : c.learners_next) {
    if (!has(c.voters_outgoing, node)) return invalid("a next learner is not an outgoing voter");
    if (has(c.voters, node)) return invalid("a next learner stays a voter");
  }
  if (c.auto_leave && !c.joint()) return invalid("nothing to leave automatically");
  if (c.context.size() > configuration_context_bytes_max) return invalid("the context is too long");
  return {};
}

Result<Configuration> apply_change(const Configuration& current, const ConfigurationChange& change) {
  LS_MUST(!current.empty(), "only a member of a cluster can change it");
  if (change.changes.empty() && !change.context.has_value()) {
    if (!current.joint()) return Result<Configuration>(Code::failed_precondition, "nothing to leave");
    return leave_joint(current);
  }
  if (current.joint()) {
    return Result<Configuration>(Code::failed_precondition, "the last change is not finished (joint)");
  }
  Configuration next = current;
  if (change.context.has_value()) next.context = *change.context;
  Nodes touched;
  for (const MemberChange& one : change.changes) {
    if (std::find(touched.begin(), touched.end(), one.node) != touched.end()) {
      return invalid("member " + std::to_string(one.node.value()) + " is changed twice");
    }
    touched.push_back(one.node);
    LS_RETURN_IF_ERROR(apply_one(one, next));
  }
  if (next.voters != current.voters) {
    next.voters_outgoing = current.voters;
    next.auto_leave = change.auto_leave;
  }
  LS_RETURN_IF_ERROR(validate(next));
  LS_MUST(next.joint() || next.learners_next.empty());
  return next;
}

Configuration leave_joint(const Configuration& current) {
  LS_MUST(current.joint());
  Configuration next = current;
  next.voters_outgoing.clear();
  next.learners_next.clear();
  next.auto_leave = false;
  for (const NodeId node : current.learners_next) insert(next.learners, node);
  LS_MUST(validate(next).ok());
  return next;
}

std::string encode_configuration(const Configuration& configuration) {
  LS_MUST(validate(configuration).ok());
  std::string bytes;
  Encoder encoder(&bytes);
  encoder.u8(format_version);
  encode_nodes(encoder, configuration.voters);
  encode_nodes(encoder, configuration.voters_outgoing);
  encode_nodes(encoder, configuration.learners);
  encode_nodes(encoder, configuration.learners_next);
  encoder.boolean(configuration.auto_leave);
  encoder.bytes(configuration.context);
  return bytes;
}

Result<Configuration> decode_configuration(std::string_view bytes) {
  Decoder decoder(bytes);
  const std::uint8_t version = decoder.u8();
  if (decoder.ok() && version != format_version) {
    return Result<Configuration>(Code::corruption, "configuration: unknown format version");
  }
  Configuration configuration;
  configuration.voters = decode_nodes(decoder);
  configuration.voters_outgoing = decode_nodes(decoder);
  configuration.learners = decode_nodes(decoder);
  configuration.learners_next = decode_nodes(decoder);
  configuration.auto_leave = decoder.boolean();
  const std::string_view context = decoder.bytes();
  if (!decoder.done() || context.size() > configuration_context_bytes_max) {
    return Result<Configuration>(Code::corruption, "configuration: malformed");
  }
  configuration.context = context;
  const Status status = validate(configuration);
  if (!status.ok()) return Result<Configuration>(Code::corruption, std::string(status.message()));
  return configuration;
}

std::string to_string(const Configuration& configuration) {
  std::string out;
  describe(out, "voters", configuration.voters);
  describe(out, "outgoing", configuration.voters_outgoing);
  describe(out, "learners", configuration.learners);
  describe(out, "learners-next", configuration.learners_next);
  if (configuration.auto_leave) out += " auto-leave";
  if (!configuration.context.empty()) out += " context " + configuration.context;
  return out.empty() ? "none" : out;
}

std::uint64_t majority_value(std::vector<std::uint64_t> reached) {
  if (reached.empty()) return 0;
  // The smallest majority is size/2 + 1 members: the value in that place, counted from the largest.
  const auto place = reached.begin() + static_cast<std::ptrdiff_t>(reached.size() / 2);
  std::nth_element(reached.begin(), place, reached.end(), std::greater<>());
  return *place;
}

}  // namespace lockstep::raft
