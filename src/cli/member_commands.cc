// lockstep member list, add, remove, update, promote; lockstep move-leader.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/text.h"
#include "proto/cluster.pb.h"

namespace lockstep::cli {
namespace {

namespace pb = ::etcdserverpb;

std::vector<std::string> texts_of(const google::protobuf::RepeatedPtrField<std::string>& texts) {
  return {texts.begin(), texts.end()};
}

void add_members(Report& report, const google::protobuf::RepeatedPtrField<pb::Member>& members) {
  Table& table = report.table("members", {"id", "name", "learner", "started", "peer_urls", "client_urls"});
  table.raw_columns = {0, 1};
  for (const pb::Member& member : members)
    table.rows.push_back({show_hex_id(member.id()), member.name(), member.islearner(), !member.name().empty(),
                          texts_of(member.peerurls()), texts_of(member.clienturls())});
}

Result<pb::MemberListResponse> list_members(Client& client) {
  pb::MemberListRequest request;
  request.set_linearizable(true);
  return client.ask<pb::MemberListResponse>("/etcdserverpb.Cluster/MemberList", request,
                                            remote::Effect::none);
}

// By name, or by id. A name that reads like an id is taken for the name.
Result<pb::Member> find_member(Client& client, const std::string& text) {
  LS_ASSIGN_OR_RETURN(const pb::MemberListResponse response, list_members(client));
  const Result<std::uint64_t> id = parse_hex_id(text);
  const pb::Member* by_id = nullptr;
  std::vector<std::string> names;
  for (const pb::Member& member : response.members()) {
    if (member.name() == text) return member;
    if (id.ok() && member.id() == *id) by_id = &member;
    names.push_back(member.name());
  }
  if (by_id != nullptr) return *by_id;
  const std::string meant = nearest(text, names);
  return Status(Code::not_found, fmt::format("no member '{}'{}", text,
                                             meant.empty() ? "" : fmt::format(": did you mean {}?", meant)));
}

std::string described(const pb::Member& member) {
  return fmt::format("{} ({})", member.name().empty() ? "a member that never started" : member.name(),
                     show_hex_id(member.id()));
}

Status list(Session& session) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::MemberListResponse response, list_members(*client));
  Report report;
  report.detail("cluster", show_hex_id(response.header().cluster_id()));
  add_members(report, response.members());
  session.print(report);
  return {};
}

struct AddArguments {
  std::vector<std::string> peer_urls;
  bool learner = false;
};

Status add(Session& session, const AddArguments& arguments) {
  pb::MemberAddRequest request;
  for (const std::string& url : arguments.peer_urls) request.add_peerurls(url);
  request.set_islearner(arguments.learner);
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::MemberAddResponse response,
                      client->ask<pb::MemberAddResponse>("/etcdserverpb.Cluster/MemberAdd", request,
                                                         remote::Effect::mutation));
  Report report;
  report.fact("added", show_hex_id(response.member().id()));
  add_members(report, response.members());
  session.print(report);
  return {};
}

struct RemoveArguments {
  std::string member;
  bool dry_run = false;
  bool yes = false;
};

Status remove(Session& session, const RemoveArguments& arguments) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::Member member, find_member(*client, arguments.member));
  if (arguments.dry_run) {
    LS_ASSIGN_OR_RETURN(const pb::MemberListResponse members, list_members(*client));
    Report report;
    report.fact("would_remove", described(member))
        .fact("members_left", std::int64_t{members.members_size() - 1});
    session.print(report);
    return {};
  }
  LS_RETURN_IF_ERROR(
      Session::confirm(fmt::format("This removes {} for good", described(member)), arguments.yes));
  pb::MemberRemoveRequest request;
  request.set_id(member.id());
  LS_ASSIGN_OR_RETURN(const pb::MemberRemoveResponse response,
                      client->ask<pb::MemberRemoveResponse>("/etcdserverpb.Cluster/MemberRemove", request,
                                                            remote::Effect::mutation));
  Report report;
  report.fact("removed", described(member));
  add_members(report, response.members());
  session.print(report);
  return {};
}

struct UpdateArguments {
  std::string member;
  std::vector<std::string> peer_urls;
};

Status update(Session& session, const UpdateArguments& arguments) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::Member member, find_member(*client, arguments.member));
  pb::MemberUpdateRequest request;
  request.set_id(member.id());
  for (const std::string& url : arguments.peer_urls) request.add_peerurls(url);
  LS_ASSIGN_OR_RETURN(const pb::MemberUpdateResponse response,
                      client->ask<pb::MemberUpdateResponse>("/etcdserverpb.Cluster/MemberUpdate", request,
                                                            remote::Effect::mutation));
  Report report;
  add_members(report, response.members());
  session.print(report);
  return {};
}

Status promote(Session& session, const std::string& name) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::Member member, find_member(*client, name));
  pb::MemberPromoteRequest request;
  request.set_id(member.id());
  LS_ASSIGN_OR_RETURN(const pb::MemberPromoteResponse response,
                      client->ask<pb::MemberPromoteResponse>("/etcdserverpb.Cluster/MemberPromote", request,
                                                             remote::Effect::mutation));
  Report report;
  add_members(report, response.members());
  session.print(report);
  return {};
}

// Only the leader hands over: it is asked at its own endpoint, if that is one of ours.
Status move_leader(Session& session, const std::string& name) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::Member target, find_member(*client, name));
  std::string leader_endpoint;
  std::uint64_t leader = 0;
  for (const std::string& endpoint : client->settings().endpoints) {
    const Result<pb::StatusResponse> status = client->ask<pb::StatusResponse>(
        "/etcdserverpb.Maintenance/Status", pb::StatusRequest(), remote::Effect::none, endpoint);
    if (!status.ok() || status->leader() != status->header().member_id()) continue;
    leader_endpoint = endpoint;
    leader = status->leader();
  }
  if (leader_endpoint.empty())
    return {Code::unavailable, "none of the endpoints leads: name the leader's with --endpoints"};
  pb::MoveLeaderRequest request;
  request.set_targetid(target.id());
  LS_RETURN_IF_ERROR(client
                         ->ask<pb::MoveLeaderResponse>("/etcdserverpb.Maintenance/MoveLeader", request,
                                                       remote::Effect::mutation, leader_endpoint)
                         .status());
  Report report;
  report.fact("from", show_hex_id(leader)).fact("to", described(target));
  session.print(report);
  return {};
}

}  // namespace

void add_member_commands(Commands& commands) {
  CLI::App& member = commands.group("member", "who belongs to the cluster");
  commands.command(member, "list", "all members", "  lockstep member list\n  lockstep member list -o json\n",
                   list);

  auto adding = std::make_shared<AddArguments>();
  CLI::App& add_command = commands.command(member, "add", "let a new member join",
                                           "  lockstep member add http://10.0.0.4:2380\n"
                                           "  lockstep member add --learner https://10.0.0.4:2380\n",
                                           [adding](Session& session) { return add(session, *adding); });
  add_command.add_option("peer_urls", adding->peer_urls, "where the others reach it")->required();
  add_command.add_flag("--learner", adding->learner, "it gets everything, but does not vote yet");

  auto removing = std::make_shared<RemoveArguments>();
  CLI::App& remove_command =
      commands.command(member, "remove", "take a member out of the cluster",
                       "  lockstep member remove n3 --dry-run\n"
                       "  lockstep member remove 8e9e05c52164694d --yes\n",
                       [removing](Session& session) { return remove(session, *removing); });
  remove_command.add_option("member", removing->member, "its name or id")->required();
  remove_command.add_flag("--dry-run", removing->dry_run, "only say what would be left");
  remove_command.add_flag("--yes", removing->yes, "do not ask");

  auto updating = std::make_shared<UpdateArguments>();
  CLI::App& update_command =
      commands.command(member, "update", "change where the others reach a member",
                       "  lockstep member update n3 http://10.0.0.5:2380\n",
                       [updating](Session& session) { return update(session, *updating); });
  update_command.add_option("member", updating->member, "its name or id")->required();
  update_command.add_option("peer_urls", updating->peer_urls, "the new addresses")->required();

  auto promoted = std::make_shared<std::string>();
  commands
      .command(member, "promote", "let a learner vote", "  lockstep member promote n4\n",
               [promoted](Session& session) { return promote(session, *promoted); })
      .add_option("member", *promoted, "its name or id")
      ->required();

  auto target = std::make_shared<std::string>();
  commands
      .command(commands.root(), "move-leader", "make another member lead",
               "  lockstep --endpoints a:2379,b:2379,c:2379 move-leader n2\n",
               [target](Session& session) { return move_leader(session, *target); })
      .add_option("member", *target, "the name or id of the one that is to lead")
      ->required();
}

}  // namespace lockstep::cli
