"""Redis and ZooKeeper on loopback, each in a folder of its own, with the durability their users rely on."""

import pathlib
import shutil
import socket
import subprocess
import sys
import time

import cluster as clusters

START_TIMEOUT_S = 60


def ask(port, question, answer):
    """Whether a server answers a line with another."""
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.sendall(question)
            return answer in connection.recv(4096)
    except OSError:
        return False


class Servers:
    """Started by `with`; killed, and their folder removed, at its end. Subclasses fill `members`."""

    def __init__(self, label, folder):
        self.label = label
        self.folder = pathlib.Path(folder)
        self.members = []

    def prepare(self):
        raise NotImplementedError

    def is_up(self):
        raise NotImplementedError

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.prepare()
        for member in self.members:
            member.start()
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.is_up():
            if time.monotonic() > deadline:
                self.__exit__()
                sys.exit(f"{self.label} does not serve within {START_TIMEOUT_S} s: see {self.folder}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        for member in self.members:
            if member.process and member.process.poll() is None:
                member.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def processor_seconds(self):
        return sum(member.processor_seconds() for member in self.members)


class Redis(Servers):
    """One server that syncs its append-only file before it answers."""

    def prepare(self):
        self.port, = clusters.free_ports(1)
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--save", "",
                   "--appendonly", "yes", "--appendfsync", "always"]
        self.members = [clusters.Member("redis", command, f"127.0.0.1:{self.port}", self.folder / "redis.log")]

    def is_up(self):
        return ask(self.port, b"PING\r\n", b"+PONG")


class ZooKeeper(Servers):
    """So many servers of one ensemble, or one alone; the log is synced before an answer, as by default."""

    def __init__(self, label, folder, size):
        super().__init__(label, folder)
        self.size = size

    def prepare(self):
        ports = clusters.free_ports(3 * self.size)
        self.ports = ports[:self.size]
        ensemble = [f"server.{i + 1}=127.0.0.1:{ports[self.size + i]}:{ports[2 * self.size + i]}" for i in range(self.size)]
        for i, port in enumerate(self.ports):
            data = self.folder / f"z{i + 1}"
            data.mkdir()
            (data / "myid").write_text(f"{i + 1}\n")
            lines = ["tickTime=2000", "initLimit=10", "syncLimit=5", f"dataDir={data}", f"clientPort={port}",
                     "clientPortAddress=127.0.0.1", "admin.enableServer=false", "4lw.commands.whitelist=srvr",
                     "maxClientCnxns=0", *(ensemble if self.size > 1 else [])]
            (data / "zoo.cfg").write_text("\n".join(lines) + "\n")
            command = ["java", "-Xmx1g", "-cp", "/usr/share/java/zookeeper.jar",
                       "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(data / "zoo.cfg")]
            self.members.append(clusters.Member(f"z{i + 1}", command, f"127.0.0.1:{port}", self.folder / f"z{i + 1}.log"))

    def is_up(self):
        return all(ask(port, b"srvr", b"Mode:") for port in self.ports)

    def endpoints(self):
        return ",".join(member.endpoint for member in self.members)
