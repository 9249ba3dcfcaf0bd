"""A real etcd and a real lockstepd for tests: each in a folder of its own, on free ports, ended by its process id."""

import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

_given = set()


def free_port():
    """Never one that this process gave before: servers that start together must not meet."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port not in _given:
            _given.add(port)
            return port


class Server:
    """One member. `endpoint` is where its clients connect; `tls` is an ssl.SSLContext if they need one."""

    def __init__(self, name, command, client_port, folder, tls=None):
        self.name = name
        self.tls = tls
        self.endpoint = f"127.0.0.1:{client_port}"
        self.log_path = pathlib.Path(folder) / f"{name}.log"
        self.log = open(self.log_path, "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, cwd=folder)

    def wait_until_it_serves(self):
        """Nothing is written: all must begin at the same revision."""
        deadline = time.monotonic() + 60
        url = f"{'http' if self.tls is None else 'https'}://{self.endpoint}/health"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.printed()}")
            try:
                with urllib.request.urlopen(url, timeout=5, context=self.tls) as answer:
                    if b'"true"' in answer.read():
                        return self
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not serve within 60 s:\n{self.printed()}")

    def printed(self):
        return self.log_path.read_text(errors="replace")

    def stop(self):
        """The exit status; text if it had to be killed."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = "no end within 30 s of SIGTERM"
        self.log.close()
        return status


def need(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        sys.exit(f"missing: {', '.join(missing)} (./do setup installs what tools/packages.txt names)")


def etcd(folder, *options):
    return etcd_cluster(folder, 1, *options)[0]


def lockstepd(program, folder, *options):
    return lockstepd_cluster(program, folder, 1, *options)[0]


def lockstepd_on(program, folder, server, *options):
    """One that keeps nothing and serves on `server`."""
    port = free_port()
    command = [program, "--listen", f"127.0.0.1:{port}", "--store", f"etcd://{server.endpoint}", *options]
    return _serving([Server("lockstepd", command, port, folder)])[0]


def etcd_cluster(folder, size, *options):
    names = ["default"] if size == 1 else [f"n{i}" for i in range(1, size + 1)]
    peers = {name: f"http://127.0.0.1:{free_port()}" for name in names}
    members = []
    for name in names:
        port = free_port()
        client = f"http://127.0.0.1:{port}"
        command = ["etcd", "--name", name, "--data-dir", f"{folder}/etcd-{name}", "--listen-client-urls", client,
                   "--advertise-client-urls", client, "--listen-peer-urls", peers[name],
                   "--initial-advertise-peer-urls", peers[name], "--log-level", "error",
                   "--initial-cluster", ",".join(f"{other}={url}" for other, url in peers.items()), *options]
        members.append(Server("etcd" if size == 1 else f"etcd-{name}", command, port, folder))
    return _serving(members)


def lockstepd_cluster(program, folder, size, *options, tls=None):
    names = ["default"] if size == 1 else [f"n{i}" for i in range(1, size + 1)]
    peers = {name: f"127.0.0.1:{free_port()}" for name in names}
    members = []
    for name in names:
        port = free_port()
        command = [program, "--name", name, "--data-dir", f"{folder}/lockstep-{name}", "--listen", f"127.0.0.1:{port}",
                   "--initial-cluster", ",".join(f"{other}={host}" for other, host in peers.items()), *options]
        members.append(Server("lockstepd" if size == 1 else f"lockstepd-{name}", command, port, folder, tls))
    return _serving(members)


def _serving(members):
    try:
        return [member.wait_until_it_serves() for member in members]
    except RuntimeError:
        for member in members:
            member.stop()
        raise
