"""Members of lockstepd on free ports of 127.0.0.1, with their data in a folder, and how the demo speaks of them."""

import atexit
import http.client
import json
import os
import socket
import subprocess
import sys
import time


def say(text=""):
    print(text, flush=True)


def fail(text):
    sys.exit(f"demo: {text}")


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]  # all held until the last is found, so that they differ
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Member:
    def __init__(self, name, client_port, peer_port):
        self.name, self.client_port, self.peer_port = name, client_port, peer_port
        self.endpoint = f"127.0.0.1:{client_port}"
        self.process = None
        self.log = None


class Cluster:
    def __init__(self, programs, folder, size=3, options=()):
        self.programs, self.folder, self.options = programs, folder, options
        ports = free_ports(2 * size)
        self.members = [Member(f"n{i + 1}", ports[2 * i], ports[2 * i + 1]) for i in range(size)]
        self.endpoints = ",".join(member.endpoint for member in self.members)
        self.leave_running = False
        atexit.register(self.end)

    def start(self, member):
        peers = ",".join(f"{other.name}=127.0.0.1:{other.peer_port}" for other in self.members)
        member.log = open(self.folder / f"{member.name}.log", "ab")
        member.process = subprocess.Popen(
            [self.programs / "lockstepd", "--name", member.name, "--data-dir", self.folder / member.name, "--listen",
             member.endpoint, "--initial-cluster", peers, "--cluster-token", f"demo-{os.getpid()}", *self.options], stdin=subprocess.DEVNULL,
            stdout=member.log, stderr=subprocess.STDOUT, start_new_session=True)

    def kill(self, member):
        member.process.kill()  # SIGKILL: no hand-over, no last words
        member.process.wait()
        member.log.close()

    def end(self):
        for member in self.members:
            if not self.leave_running and member.process is not None and member.process.poll() is None:
                self.kill(member)

    def check(self):
        for member in self.members:
            if member.process.poll() is not None:
                fail(f"{member.name} ended by itself: see {self.folder / (member.name + '.log')}")

    def get(self, member, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=2)
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            return text if answer.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None

    def post(self, member, path, body, headers=None, timeout_s=10):
        """(status, answer); the status is 0 where no answer came: then nobody knows."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=timeout_s)
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
            return answer.status, json.loads(text) if text else {}
        except (OSError, ValueError, http.client.HTTPException):
            return 0, {}

    def wait_until_ready(self, members, within_s=30):
        deadline = time.monotonic() + within_s
        for member in members:
            while self.get(member, "/readyz") is None:
                if time.monotonic() > deadline:
                    fail(f"{member.name} is not ready within {within_s} s: see {self.folder / (member.name + '.log')}")
                time.sleep(0.01)

    def leader(self):
        """The member that leads, or None while nobody says so."""
        for member in self.members:
            text = self.get(member, "/metrics") if member.process.poll() is None else None
            if text is not None and "\netcd_server_is_leader 1\n" in text:
                return member
        return None

    def wait_for_leader(self):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            leader = self.leader()
            if leader is not None:
                return leader
            time.sleep(0.01)
        return fail("nobody leads within 30 s")

    def etcdctl(self, *words):
        done = subprocess.run(["etcdctl", "--endpoints", self.endpoints, *words], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "ETCDCTL_API": "3"})
        if done.returncode != 0:
            fail(f"etcdctl {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout.rstrip()
