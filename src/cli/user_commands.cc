// lockstep user add, delete, get, list, passwd, grant-role, revoke-role; lockstep auth enable, disable,
// status.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "cli/commands.h"
#include "proto/auth_service.pb.h"

namespace lockstep::cli {
namespace {

namespace pb = ::etcdserverpb;
using remote::Effect;

struct UserArguments {
  std::string name;
  std::string role;
  std::string new_password_file;
  bool no_password = false;
  bool yes = false;
};

Report one_fact(std::string name, std::string value) {
  Report report;
  report.fact(std::move(name), std::move(value));
  return report;
}

Result<std::string> new_password(const UserArguments& arguments) {
  return Session::password(arguments.new_password_file, fmt::format("New password of {}: ", arguments.name));
}

Status add(Session& session, const UserArguments& arguments) {
  pb::AuthUserAddRequest request;
  request.set_name(arguments.name);
  request.mutable_options()->set_no_password(arguments.no_password);
  if (!arguments.no_password) {
    LS_ASSIGN_OR_RETURN(*request.mutable_password(), new_password(arguments));
  }
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(
      client->ask<pb::AuthUserAddResponse>("/etcdserverpb.Auth/UserAdd", request, Effect::mutation).status());
  session.print(one_fact("added", arguments.name));
  return {};
}

Status remove(Session& session, const UserArguments& arguments) {
  pb::AuthUserDeleteRequest request;
  request.set_name(arguments.name);
  LS_RETURN_IF_ERROR(Session::confirm(fmt::format("This deletes user {}", arguments.name), arguments.yes));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(
      client->ask<pb::AuthUserDeleteResponse>("/etcdserverpb.Auth/UserDelete", request, Effect::mutation)
          .status());
  session.print(one_fact("deleted", arguments.name));
  return {};
}

Status get(Session& session, const UserArguments& arguments) {
  pb::AuthUserGetRequest request;
  request.set_name(arguments.name);
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(
      const pb::AuthUserGetResponse response,
      client->ask<pb::AuthUserGetResponse>("/etcdserverpb.Auth/UserGet", request, Effect::none));
  Report report = one_fact("user", arguments.name);
  report.fact("roles", std::vector<std::string>(response.roles().begin(), response.roles().end()));
  session.print(report);
  return {};
}

Status list(Session& session, const UserArguments& /*arguments*/) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::AuthUserListResponse response,
                      client->ask<pb::AuthUserListResponse>("/etcdserverpb.Auth/UserList",
                                                            pb::AuthUserListRequest(), Effect::none));
  Report report;
  Table& table = report.table("users", {"user"});
  for (const std::string& name : response.users()) table.rows.push_back({name});
  session.print(report);
  return {};
}

Status change_password(Session& session, const UserArguments& arguments) {
  pb::AuthUserChangePasswordRequest request;
  request.set_name(arguments.name);
  LS_ASSIGN_OR_RETURN(*request.mutable_password(), new_password(arguments));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(client
                         ->ask<pb::AuthUserChangePasswordResponse>("/etcdserverpb.Auth/UserChangePassword",
                                                                   request, Effect::mutation)
                         .status());
  session.print(one_fact("changed", arguments.name));
  return {};
}

Status grant_role(Session& session, const UserArguments& arguments) {
  pb::AuthUserGrantRoleRequest request;
  request.set_user(arguments.name);
  request.set_role(arguments.role);
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(
      client
          ->ask<pb::AuthUserGrantRoleResponse>("/etcdserverpb.Auth/UserGrantRole", request, Effect::mutation)
          .status());
  session.print(one_fact("granted", arguments.role));
  return {};
}

Status revoke_role(Session& session, const UserArguments& arguments) {
  pb::AuthUserRevokeRoleRequest request;
  request.set_name(arguments.name);
  request.set_role(arguments.role);
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(client
                         ->ask<pb::AuthUserRevokeRoleResponse>("/etcdserverpb.Auth/UserRevokeRole", request,
                                                               Effect::mutation)
                         .status());
  session.print(one_fact("revoked", arguments.role));
  return {};
}

Status enable(Session& session) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(client
                         ->ask<pb::AuthEnableResponse>("/etcdserverpb.Auth/AuthEnable",
                                                       pb::AuthEnableRequest(), Effect::mutation)
                         .status());
  session.print(one_fact("authentication", "enabled"));
  return {};
}

Status disable(Session& session, bool yes) {
  LS_RETURN_IF_ERROR(Session::confirm("This lets everybody read and change everything", yes));
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_RETURN_IF_ERROR(client
                         ->ask<pb::AuthDisableResponse>("/etcdserverpb.Auth/AuthDisable",
                                                        pb::AuthDisableRequest(), Effect::mutation)
                         .status());
  session.print(one_fact("authentication", "disabled"));
  return {};
}

Status auth_status(Session& session) {
  LS_ASSIGN_OR_RETURN(Client * client, session.client());
  LS_ASSIGN_OR_RETURN(const pb::AuthStatusResponse response,
                      client->ask<pb::AuthStatusResponse>("/etcdserverpb.Auth/AuthStatus",
                                                          pb::AuthStatusRequest(), Effect::none));
  Report report = one_fact("authentication", response.enabled() ? "enabled" : "disabled");
  report.fact("auth_revision", response.authrevision());
  session.print(report);
  return {};
}

using Run = Status (*)(Session&, const UserArguments&);

CLI::App& add_user_command(Commands& commands, CLI::App& group, UserArguments** arguments, const char* name,
                           const char* help, const char* examples, Run run) {
  auto made = std::make_shared<UserArguments>();
  *arguments = made.get();
  CLI::App& command = commands.command(group, name, help, examples,
                                       [made, run](Session& session) { return run(session, *made); });
  if (std::string_view(name) != "list") command.add_option("name", made->name, "the user")->required();
  return command;
}

}  // namespace

void add_user_commands(Commands& commands) {
  CLI::App& user = commands.group("user", "who may log in");
  UserArguments* arguments = nullptr;
  const char* password_help = "its first line is the new password; asked for on a terminal otherwise";
  CLI::App& add_command = add_user_command(commands, user, &arguments, "add", "make a user",
                                           "  lockstep user add alice --new-password-file alice.txt\n"
                                           "  lockstep user add robot --no-password\n",
                                           add);
  add_command.add_option("--new-password-file", arguments->new_password_file, password_help)
      ->type_name("FILE");
  add_command.add_flag("--no-password", arguments->no_password, "proves itself by a certificate only");
  add_user_command(commands, user, &arguments, "delete", "remove a user",
                   "  lockstep user delete alice --yes\n", remove)
      .add_flag("--yes", arguments->yes, "do not ask");
  add_user_command(commands, user, &arguments, "get", "a user's roles", "  lockstep user get alice\n", get);
  add_user_command(commands, user, &arguments, "list", "all users", "  lockstep user list\n", list);
  add_user_command(commands, user, &arguments, "passwd", "change a user's password",
                   "  lockstep user passwd alice --new-password-file alice.txt\n", change_password)
      .add_option("--new-password-file", arguments->new_password_file, password_help)
      ->type_name("FILE");
  add_user_command(commands, user, &arguments, "grant-role", "give a user a role",
                   "  lockstep user grant-role alice readers\n", grant_role)
      .add_option("role", arguments->role, "the role")
      ->required();
  add_user_command(commands, user, &arguments, "revoke-role", "take a role from a user",
                   "  lockstep user revoke-role alice readers\n", revoke_role)
      .add_option("role", arguments->role, "the role")
      ->required();
}

void add_auth_commands(Commands& commands) {
  CLI::App& auth = commands.group("auth", "whether clients must log in");
  commands.command(auth, "enable", "from now on clients must log in; user root with role root must exist",
                   "  lockstep user add root && lockstep user grant-role root root && lockstep auth enable\n",
                   enable);
  auto yes = std::make_shared<bool>(false);
  commands
      .command(auth, "disable", "let everybody in", "  lockstep --user root auth disable --yes\n",
               [yes](Session& session) { return disable(session, *yes); })
      .add_flag("--yes", *yes, "do not ask");
  commands.command(auth, "status", "whether it is enabled", "  lockstep auth status -o json\n", auth_status);
}

}  // namespace lockstep::cli
