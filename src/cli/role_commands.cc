// lockstep role add, delete, get, list, grant-permission, revoke-permission.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/range_arguments.h"
#include "proto/auth_service.pb.h"

namespace lockstep::cli {
namespace {

namespace pb = ::etcdserverpb;
using remote::Effect;

struct RoleArguments {
  std::string role;
  std::string kind;
  RangeArguments range;
  bool yes = false;
};

Report one_fact(std::string name, std::string value) {
  Report report;
  report.fact(std::move(name), std::move(value));
  return report;
}

Status add(Session& session, const RoleArguments& arguments) {
  pb::AuthRoleAddRequest request;
  request.set_name(arguments.role);
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(
      client->ask<pb::AuthRoleAddResponse>("/etcdserverpb.Auth/RoleAdd", request, Effect::mutation).status());
  session.print(one_fact("added", arguments.role));
  return {};
}

Status remove(Session& session, const RoleArguments& arguments) {
  pb::AuthRoleDeleteRequest request;
  request.set_role(arguments.role);
  LS_RETURN_IF_ERROR(Session::confirm(
      fmt::format("This deletes role {}, for every user who has it", arguments.role), arguments.yes));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(
      client->ask<pb::AuthRoleDeleteResponse>("/etcdserverpb.Auth/RoleDelete", request, Effect::mutation)
          .status());
  session.print(one_fact("deleted", arguments.role));
  return {};
}

std::string name_of(authpb::Permission::Type kind) {
  switch (kind) {
    case authpb::Permission::READ:
      return "read";
    case authpb::Permission::WRITE:
      return "write";
    case authpb::Permission::READWRITE:
      return "readwrite";
    default:
      return "unknown";
  }
}

Status get(Session& session, const RoleArguments& arguments) {
  pb::AuthRoleGetRequest request;
  request.set_role(arguments.role);
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(
      const pb::AuthRoleGetResponse response,
      client->ask<pb::AuthRoleGetResponse>("/etcdserverpb.Auth/RoleGet", request, Effect::none));
  Report report = one_fact("role", arguments.role);
  Table& table = report.table("permissions", {"kind", "key", "range_end"});
  for (const authpb::Permission& permission : response.perm())
    table.rows.push_back(
        {name_of(permission.permtype()), Bytes{permission.key()}, Bytes{permission.range_end()}});
  session.print(report);
  return {};
}

Status list(Session& session, const RoleArguments& /*arguments*/) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::AuthRoleListResponse response,
                      client->ask<pb::AuthRoleListResponse>("/etcdserverpb.Auth/RoleList",
                                                            pb::AuthRoleListRequest(), Effect::none));
  Report report;
  Table& table = report.table("roles", {"role"});
  for (const std::string& name : response.roles()) table.rows.push_back({name});
  session.print(report);
  return {};
}

Status grant(Session& session, const RoleArguments& arguments) {
  pb::AuthRoleGrantPermissionRequest request;
  request.set_name(arguments.role);
  authpb::Permission& permission = *request.mutable_perm();
  permission.set_permtype(arguments.kind == "read"    ? authpb::Permission::READ
                          : arguments.kind == "write" ? authpb::Permission::WRITE
                                                      : authpb::Permission::READWRITE);
  LS_RETURN_IF_ERROR(arguments.range.resolve(permission.mutable_key(), permission.mutable_range_end()));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(client
                         ->ask<pb::AuthRoleGrantPermissionResponse>("/etcdserverpb.Auth/RoleGrantPermission",
                                                                    request, Effect::mutation)
                         .status());
  session.print(one_fact("granted", arguments.kind));
  return {};
}

Status revoke(Session& session, const RoleArguments& arguments) {
  pb::AuthRoleRevokePermissionRequest request;
  request.set_role(arguments.role);
  LS_RETURN_IF_ERROR(arguments.range.resolve(request.mutable_key(), request.mutable_range_end()));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(client
                         ->ask<pb::AuthRoleRevokePermissionResponse>(
                             "/etcdserverpb.Auth/RoleRevokePermission", request, Effect::mutation)
                         .status());
  session.print(one_fact("revoked", arguments.role));
  return {};
}

using Run = Status (*)(Session&, const RoleArguments&);

CLI::App& add_role_command(Commands& commands, CLI::App& group, RoleArguments** arguments, const char* name,
                           const char* help, const char* examples, Run run) {
  auto made = std::make_shared<RoleArguments>();
  *arguments = made.get();
  CLI::App& command = commands.command(group, name, help, examples,
                                       [made, run](Session& session) { return run(session, *made); });
  if (std::string_view(name) != "list") command.add_option("role", made->role, "the role")->required();
  return command;
}

}  // namespace

void add_role_commands(Commands& commands) {
  CLI::App& role = commands.group("role", "what users may do with which keys");
  RoleArguments* arguments = nullptr;
  add_role_command(commands, role, &arguments, "add", "make a role", "  lockstep role add readers\n", add);
  add_role_command(commands, role, &arguments, "delete", "remove a role",
                   "  lockstep role delete readers --yes\n", remove)
      .add_flag("--yes", arguments->yes, "do not ask");
  add_role_command(commands, role, &arguments, "get", "what a role allows", "  lockstep role get readers\n",
                   get);
  add_role_command(commands, role, &arguments, "list", "all roles", "  lockstep role list\n", list);
  CLI::App& grant_command =
      add_role_command(commands, role, &arguments, "grant-permission", "let a role read or write keys",
                       "  lockstep role grant-permission readers read --prefix config/\n"
                       "  lockstep role grant-permission owners readwrite greeting\n",
                       grant);
  grant_command.add_option("kind", arguments->kind, "read, write or readwrite")
      ->required()
      ->check(CLI::IsMember({"read", "write", "readwrite"}));
  add_range_options(grant_command, arguments->range);
  CLI::App& revoke_command =
      add_role_command(commands, role, &arguments, "revoke-permission", "take a permission from a role",
                       "  lockstep role revoke-permission readers --prefix config/\n", revoke);
  add_range_options(revoke_command, arguments->range);
}

}  // namespace lockstep::cli
