"""How the recipes' load speaks to the members: /v1 over TLS, logged in, through any of them, on connections that stay."""

import http.client
import json
import ssl
import threading

import sandbox

TIMEOUT_S = 4


class Login:
    """One token for all; whoever is told that it counts no more asks for another."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.token = None
        self.guard = threading.Lock()

    def renew(self, edge, host, old):
        with self.guard:
            if self.token == old:
                _, answer = edge.send(host, "POST", "/v3/auth/authenticate",
                                      {"name": "root", "password": self.cluster.password}, {}, TIMEOUT_S)
                self.token = answer.get("token", self.token)
        return self.token


class Edge:
    """One caller's connections. A status of 0: no answer came, so nobody knows."""

    def __init__(self, login, random):
        self.login, self.random = login, random
        self.hosts = [member.host for member in login.cluster.members.values()]
        self.tls = ssl.create_default_context(cafile=login.cluster.certificates / "ca.crt")
        self.connections = {}

    def send(self, host, method, path, body, fields, timeout_s):
        connection = self.connections.pop(host, None)
        if connection is None:
            connection = http.client.HTTPSConnection(host, sandbox.CLIENT_PORT, context=self.tls)
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        try:
            data = json.dumps(body)
            connection.request(method, path, data, {"Content-Type": "application/json", **fields})
            answer = connection.getresponse()
            text = answer.read()
            self.connections[host] = connection
            return answer.status, json.loads(text) if text[:1] == b"{" else {}
        except (OSError, ValueError, http.client.HTTPException):
            connection.close()
            return 0, {}

    def post(self, path, body, key=None, wait_ms=0):
        host = self.random.choice(self.hosts)
        if wait_ms:
            body = {**body, "wait_ms": wait_ms}
        for _ in range(2):
            token = self.login.token or self.login.renew(self, host, None)
            fields = {"Authorization": token or ""}
            if key:
                fields["Idempotency-Key"] = key
            status, answer = self.send(host, "POST", path, body, fields, TIMEOUT_S + wait_ms / 1000)
            if status != 401:
                break
            self.login.renew(self, host, token)
        return status, answer

    def close(self):
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()
