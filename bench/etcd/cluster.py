"""A cluster of lockstepd or of etcd on loopback, in a folder of its own, and what it costs the machine."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
START_TIMEOUT_S = 60


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Member:
    def __init__(self, name, command, endpoint, log_path):
        self.name = name
        self.command = command
        self.endpoint = endpoint
        self.log_path = log_path
        self.process = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=subprocess.STDOUT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) * 1024
        return 0


class Cluster:
    """Members are started by `with`, and killed and their folder removed at its end."""

    def __init__(self, server, size, folder, cli):
        self.server = server
        self.folder = pathlib.Path(folder)
        self.cli = cli
        ports = free_ports(2 * size)
        clients, peers = ports[:size], ports[size:]
        scheme = "" if server.is_lockstepd else "http://"
        names = [f"n{i + 1}" for i in range(size)]
        initial = ",".join(f"{name}={scheme}127.0.0.1:{peer}" for name, peer in zip(names, peers))
        self.members = [
            Member(name, self.command(name, client, peer, initial), f"127.0.0.1:{client}",
                   self.folder / f"{name}.log")
            for name, client, peer in zip(names, clients, peers)
        ]

    def command(self, name, client, peer, initial):
        data = str(self.folder / name)
        if self.server.is_lockstepd:
            return [self.server.program, "--name", name, "--data-dir", data, "--listen", f"127.0.0.1:{client}",
                    "--initial-cluster", initial]
        client_url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        return [self.server.program, "--name", name, "--data-dir", data,
                "--listen-client-urls", client_url, "--advertise-client-urls", client_url,
                "--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url,
                "--initial-cluster", initial, *self.server.options]

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        for member in self.members:
            member.start()
        try:
            self.wait_until_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for member in self.members:
            if member.process and member.process.poll() is None:
                member.process.send_signal(signal.SIGCONT)
                member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def endpoints(self):
        return ",".join(member.endpoint for member in self.members)

    def run_cli(self, arguments, timeout_s=600, endpoints=None):
        command = [self.cli, "--endpoints", endpoints or self.endpoints(), *arguments, "-o", "json"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
        if run.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {run.stderr.strip()}")
        return json.loads(run.stdout)

    def status(self):
        """Of every member, by endpoint; raises while one does not answer."""
        return {entry["endpoint"]: entry for entry in self.run_cli(["endpoint", "status"], 20)["endpoints"]}

    def leader(self):
        for endpoint, entry in self.status().items():
            if entry["leader"]:
                return next(member for member in self.members if member.endpoint == endpoint)
        raise RuntimeError("no member leads")

    def wait_until_whole(self):
        """Every member answers, one leads, and all have applied nearly everything."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            for member in self.members:
                if member.process.poll() is not None:
                    tail = pathlib.Path(member.log_path).read_text(errors="replace")[-2000:]
                    sys.exit(f"{self.server.label}, member {member.name}, ended:\n{tail}")
            try:
                entries = list(self.status().values())
                applied = [entry["raft_applied_index"] for entry in entries]
                if any(entry["leader"] for entry in entries) and max(applied) - min(applied) < 1000:
                    return
            except (RuntimeError, subprocess.TimeoutExpired, KeyError, ValueError):
                pass
            time.sleep(0.05)
        sys.exit(f"{self.server.label} does not serve within {START_TIMEOUT_S} s: see {self.folder}")

    def processor_seconds(self):
        return sum(member.processor_seconds() for member in self.members)

    def resident_mib(self):
        """The mean of the members."""
        return sum(member.resident_bytes() for member in self.members) / len(self.members) / 2**20
