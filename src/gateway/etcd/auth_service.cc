#include "gateway/etcd/auth_service.h"

#include <utility>

#include "gateway/etcd/convert.h"
#include "proto/auth_service.pb.h"

namespace lockstep::gateway {
namespace {

using rpc::ServerCallPtr;
using store::Security;

// Answers with the header and what `fill` adds to it.
template <class Message, class Response, class Fill>
store::Callback<Response> answer(Edge& edge, const ServerCallPtr& call, Fill fill) {
  return [&edge, call, fill](Result<Response> result) {
    if (call->ended()) return;
    if (!result.ok()) return Edge::fail(*call, result.status());
    Message message;
    to_wire(edge.filled(result->header), message.mutable_header());
    fill(*result, &message);
    edge.respond(*call, message);
  };
}

template <class Message>
store::Callback<store::AuthResponse> answer_change(Edge& edge, const ServerCallPtr& call) {
  return answer<Message, store::AuthResponse>(edge, call, [](const store::AuthResponse&, Message*) {});
}

// Registers a call: serve(security, message, options, edge, call).
template <class Request, class Serve>
void add(Edge& edge, rpc::ServiceRegistry& registry, std::string_view method, Serve serve,
         Needs needs = Needs::nothing) {
  registry.unary("/etcdserverpb.Auth/" + std::string(method),
                 [&edge, serve, needs](const ServerCallPtr& call, std::string_view bytes) {
                   Request message;
                   if (!Edge::parse(*call, bytes, &message)) return;
                   std::optional<store::CallOptions> options = edge.admit(*call, Learners::refused, needs);
                   if (!options.has_value()) return;
                   serve(edge.security(), message, *std::move(options), edge, call);
                 });
}

// A change without a secret; make(message) says which.
template <class Request, class Answer, class Make>
void add_change(Edge& edge, rpc::ServiceRegistry& registry, std::string_view method, Make make) {
  add<Request>(edge, registry, method,
               [make](Security& security, Request& message, store::CallOptions options, Edge& at,
                      const ServerCallPtr& call) {
                 security.change(make(message), std::move(options), answer_change<Answer>(at, call));
               });
}

void add_switches(Edge& edge, rpc::ServiceRegistry& registry) {
  add<pb::AuthEnableRequest>(edge, registry, "AuthEnable",
                             [](Security& security, pb::AuthEnableRequest&, store::CallOptions options,
                                Edge& at, const ServerCallPtr& call) {
                               security.enable(std::move(options),
                                               answer_change<pb::AuthEnableResponse>(at, call));
                             });
  add_change<pb::AuthDisableRequest, pb::AuthDisableResponse>(
      edge, registry, "AuthDisable", [](pb::AuthDisableRequest&) { return store::AuthDisable{}; });
  add<pb::AuthStatusRequest>(
      edge, registry, "AuthStatus",
      [](Security& security, pb::AuthStatusRequest&, store::CallOptions options, Edge& at,
         const ServerCallPtr& call) {
        security.auth_status(
            std::move(options),
            answer<pb::AuthStatusResponse, store::AuthStatusResponse>(
                at, call, [](const store::AuthStatusResponse& status, pb::AuthStatusResponse* out) {
                  out->set_enabled(status.enabled);
                  out->set_authrevision(status.revision.value());
                }));
      });
  add<pb::AuthenticateRequest>(
      edge, registry, "Authenticate",
      [](Security& security, pb::AuthenticateRequest& message, store::CallOptions options, Edge& at,
         const ServerCallPtr& call) {
        security.authenticate(
            std::move(*message.mutable_name()), std::move(*message.mutable_password()), std::move(options),
            answer<pb::AuthenticateResponse, store::AuthenticateResponse>(
                at, call, [](const store::AuthenticateResponse& login, pb::AuthenticateResponse* out) {
                  out->set_token(login.token);
                }));
      },
      Needs::no_login);
}

template <class Message>
store::Callback<store::NamesResponse> answer_roles(Edge& edge, const ServerCallPtr& call) {
  return answer<Message, store::NamesResponse>(edge, call,
                                               [](const store::NamesResponse& names, Message* out) {
                                                 for (const std::string& name : names.names)
                                                   out->add_roles(name);
                                               });
}

void add_users(Edge& edge, rpc::ServiceRegistry& registry) {
  add<pb::AuthUserAddRequest>(edge, registry, "UserAdd",
                              [](Security& security, pb::AuthUserAddRequest& message,
                                 store::CallOptions options, Edge& at, const ServerCallPtr& call) {
                                std::optional<std::string> password;
                                if (!message.options().no_password())
                                  password = std::move(*message.mutable_password());
                                security.add_user(std::move(*message.mutable_name()), std::move(password),
                                                  std::move(options),
                                                  answer_change<pb::AuthUserAddResponse>(at, call));
                              });
  add<pb::AuthUserChangePasswordRequest>(edge, registry, "UserChangePassword",
                                         [](Security& security, pb::AuthUserChangePasswordRequest& message,
                                            store::CallOptions options, Edge& at, const ServerCallPtr& call) {
                                           security.change_password(
                                               std::move(*message.mutable_name()),
                                               std::move(*message.mutable_password()), std::move(options),
                                               answer_change<pb::AuthUserChangePasswordResponse>(at, call));
                                         });
  add<pb::AuthUserGetRequest>(edge, registry, "UserGet",
                              [](Security& security, pb::AuthUserGetRequest& message,
                                 store::CallOptions options, Edge& at, const ServerCallPtr& call) {
                                security.roles_of_user(std::move(*message.mutable_name()), std::move(options),
                                                       answer_roles<pb::AuthUserGetResponse>(at, call));
                              });
  add<pb::AuthUserListRequest>(
      edge, registry, "UserList",
      [](Security& security, pb::AuthUserListRequest&, store::CallOptions options, Edge& at,
         const ServerCallPtr& call) {
        security.users(std::move(options),
                       answer<pb::AuthUserListResponse, store::NamesResponse>(
                           at, call, [](const store::NamesResponse& names, pb::AuthUserListResponse* out) {
                             for (const std::string& name : names.names) out->add_users(name);
                           }));
      });
  add_change<pb::AuthUserDeleteRequest, pb::AuthUserDeleteResponse>(
      edge, registry, "UserDelete",
      [](pb::AuthUserDeleteRequest& message) { return store::UserDelete{message.name()}; });
  add_change<pb::AuthUserGrantRoleRequest, pb::AuthUserGrantRoleResponse>(
      edge, registry, "UserGrantRole", [](pb::AuthUserGrantRoleRequest& message) {
        return store::UserGrantRole{message.user(), message.role()};
      });
  add_change<pb::AuthUserRevokeRoleRequest, pb::AuthUserRevokeRoleResponse>(
      edge, registry, "UserRevokeRole", [](pb::AuthUserRevokeRoleRequest& message) {
        return store::UserRevokeRole{message.name(), message.role()};
      });
}

// A kind that is none is refused by the store.
store::Permission from_wire(const authpb::Permission& message) {
  const bool known = authpb::Permission::Type_IsValid(message.permtype());
  return {known ? static_cast<store::PermissionKind>(message.permtype()) : store::PermissionKind(0xff),
          message.key(), message.range_end()};
}

void add_roles(Edge& edge, rpc::ServiceRegistry& registry) {
  add_change<pb::AuthRoleAddRequest, pb::AuthRoleAddResponse>(
      edge, registry, "RoleAdd",
      [](pb::AuthRoleAddRequest& message) { return store::RoleAdd{message.name()}; });
  add_change<pb::AuthRoleDeleteRequest, pb::AuthRoleDeleteResponse>(
      edge, registry, "RoleDelete",
      [](pb::AuthRoleDeleteRequest& message) { return store::RoleDelete{message.role()}; });
  add_change<pb::AuthRoleRevokePermissionRequest, pb::AuthRoleRevokePermissionResponse>(
      edge, registry, "RoleRevokePermission", [](pb::AuthRoleRevokePermissionRequest& message) {
        return store::RoleRevokePermission{message.role(), message.key(), message.range_end()};
      });
  add<pb::AuthRoleGrantPermissionRequest>(
      edge, registry, "RoleGrantPermission",
      [](Security& security, pb::AuthRoleGrantPermissionRequest& message, store::CallOptions options,
         Edge& at, const ServerCallPtr& call) {
        if (!message.has_perm()) return call->finish(etcd_errors::permission_not_given());
        security.change(store::RoleGrantPermission{message.name(), from_wire(message.perm())},
                        std::move(options), answer_change<pb::AuthRoleGrantPermissionResponse>(at, call));
      });
  add<pb::AuthRoleGetRequest>(
      edge, registry, "RoleGet",
      [](Security& security, pb::AuthRoleGetRequest& message, store::CallOptions options, Edge& at,
         const ServerCallPtr& call) {
        security.permissions_of_role(
            std::move(*message.mutable_role()), std::move(options),
            answer<pb::AuthRoleGetResponse, store::PermissionsResponse>(
                at, call, [](const store::PermissionsResponse& role, pb::AuthRoleGetResponse* out) {
                  for (const store::Permission& permission : role.permissions) {
                    authpb::Permission* wire = out->add_perm();
                    wire->set_permtype(static_cast<authpb::Permission::Type>(permission.kind));
                    wire->set_key(permission.key);
                    wire->set_range_end(permission.range_end);
                  }
                }));
      });
  add<pb::AuthRoleListRequest>(edge, registry, "RoleList",
                               [](Security& security, pb::AuthRoleListRequest&, store::CallOptions options,
                                  Edge& at, const ServerCallPtr& call) {
                                 security.roles(std::move(options),
                                                answer_roles<pb::AuthRoleListResponse>(at, call));
                               });
}

}  // namespace

void register_auth(Edge& edge, rpc::ServiceRegistry& registry) {
  add_switches(edge, registry);
  add_users(edge, registry);
  add_roles(edge, registry);
}

}  // namespace lockstep::gateway
