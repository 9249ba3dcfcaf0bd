"""Users, roles and permissions by the client's stubs; what is refused, and in which words."""

import grpc
from etcd3 import etcdrpc
from etcd3.etcdrpc.auth_pb2 import Permission
from said import Events, attempt, client, login

etcd = client()
auth = etcdrpc.AuthStub(etcd.channel)
p = etcdrpc


def admin(what, method, request, token=None):
    attempt(what, lambda: getattr(auth, method)(request, 20, metadata=token))


admin("enable without root", "AuthEnable", p.AuthEnableRequest())
admin("login while off", "Authenticate", p.AuthenticateRequest(name="root", password="r"))
admin("user", "UserAdd", p.AuthUserAddRequest(name="root", password="r"))
admin("user again", "UserAdd", p.AuthUserAddRequest(name="root", password="r"))
admin("user without a name", "UserAdd", p.AuthUserAddRequest(name="", password="r"))
admin("reader", "UserAdd", p.AuthUserAddRequest(name="reader", password="1"))
admin("role", "RoleAdd", p.AuthRoleAddRequest(name="root"))
admin("role", "RoleAdd", p.AuthRoleAddRequest(name="readers"))
admin("role again", "RoleAdd", p.AuthRoleAddRequest(name="readers"))
admin("permission", "RoleGrantPermission", p.AuthRoleGrantPermissionRequest(
    name="readers", perm=Permission(key=b"pub/", range_end=b"pub0")))
admin("role of nobody", "UserGrantRole", p.AuthUserGrantRoleRequest(user="nobody", role="readers"))
admin("no such role", "UserGrantRole", p.AuthUserGrantRoleRequest(user="reader", role="none"))
admin("grant", "UserGrantRole", p.AuthUserGrantRoleRequest(user="reader", role="readers"))
admin("enable without root's role", "AuthEnable", p.AuthEnableRequest())
admin("grant", "UserGrantRole", p.AuthUserGrantRoleRequest(user="root", role="root"))
admin("users", "UserList", p.AuthUserListRequest())
admin("roles", "RoleList", p.AuthRoleListRequest())
admin("one user", "UserGet", p.AuthUserGetRequest(name="reader"))
admin("one role", "RoleGet", p.AuthRoleGetRequest(role="readers"))
admin("no user", "UserGet", p.AuthUserGetRequest(name="nobody"))
admin("no role", "RoleGet", p.AuthRoleGetRequest(role="none"))
etcd.put("pub/a", "1")
etcd.put("private", "2")
admin("enable", "AuthEnable", p.AuthEnableRequest())
attempt("nobody reads", lambda: etcd.get("pub/a"))
attempt("nobody writes", lambda: etcd.put("pub/a", "2"))
attempt("wrong password", lambda: login(user="reader", password="2"))
attempt("wrong user", lambda: login(user="nobody", password="2"))
reader, root = login("reader", "1"), login("root", "r")
attempt("reads", lambda: reader.get("pub/a"))
attempt("reads the prefix", lambda: reader.get_prefix("pub/"))
attempt("reads too much", lambda: reader.get_all())
attempt("reads another", lambda: reader.get("private"))
attempt("writes", lambda: reader.put("pub/a", "2"))
attempt("deletes", lambda: reader.delete("pub/a"))
t = reader.transactions
attempt("reads in a transaction", lambda: reader.transaction(compare=[], success=[t.get("pub/a")], failure=[]))
attempt("writes in a transaction", lambda: reader.transaction(compare=[], success=[t.put("pub/a", "3")], failure=[]))
attempt("would write", lambda: reader.transaction(compare=[], success=[], failure=[t.put("pub/a", "3")]))
attempt("compares another", lambda: reader.transaction(compare=[t.value("private") == "2"], success=[], failure=[]))
attempt("compacts", lambda: reader.compact(2))
try:
    print("a snapshot:", len(list(reader.maintenancestub.Snapshot(p.SnapshotRequest(), 20, metadata=reader.metadata))))
except grpc.RpcError:
    print("a snapshot: refused")  # etcd 3.4 says UNKNOWN, newer ones PERMISSION_DENIED
attempt("adds a member", lambda: reader.add_member(["http://127.0.0.1:9"]))
admin("adds a user", "UserAdd", p.AuthUserAddRequest(name="x", password="x"), reader.metadata)
events = Events(reader, "pub/a")
attempt("root writes", lambda: root.put("pub/a", "4"))
events.show("watches", 1)
attempt("a token that never was", lambda: etcd.kvstub.Range(p.RangeRequest(key=b"pub/a"), 20, metadata=(("token", "no.1"),)))
admin("revoke", "UserRevokeRole", p.AuthUserRevokeRoleRequest(name="reader", role="readers"), root.metadata)
attempt("reads no longer", lambda: reader.get("pub/a"))
admin("root may not lose its role", "UserRevokeRole", p.AuthUserRevokeRoleRequest(name="root", role="root"), root.metadata)
admin("root may not go", "UserDelete", p.AuthUserDeleteRequest(name="root"), root.metadata)
admin("password", "UserChangePassword", p.AuthUserChangePasswordRequest(name="reader", password="3"), root.metadata)
attempt("the old password", lambda: login(user="reader", password="1"))
admin("disable", "AuthDisable", p.AuthDisableRequest(), root.metadata)
attempt("reads while off", lambda: etcd.get("private"))
