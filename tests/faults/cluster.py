"""Real lockstepd processes, each in its own network namespace, with TLS and authentication as in production."""

import base64
import http.client
import json
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import time

import sandbox

START_SECONDS_MAX = 40


class Failed(Exception):
    """The suite found something, or could not do what it had to."""


class Member:
    def __init__(self, cluster, number):
        self.cluster = cluster
        self.number = number
        self.name = f"n{number}"
        self.host = sandbox.address_of(number)
        self.peer = f"{self.host}:{sandbox.PEER_PORT}"
        self.client = f"{self.host}:{sandbox.CLIENT_PORT}"
        self.data = cluster.folder / self.name
        self.log_path = cluster.folder / f"{self.name}.log"
        self.process = None
        self.may_end = False  # its end was asked for, or is what the scenario is about

    def start(self, *arguments):
        certificates = self.cluster.certificates
        certificate, key = certificates / f"{self.name}.crt", certificates / f"{self.name}.key"
        entry = arguments or ("--initial-cluster", self.cluster.initial)
        command = [*sandbox.within(self.number), self.cluster.program, "--name", self.name, "--data-dir", self.data,
                   "--listen", self.client, "--peer-listen", self.peer, *entry,
                   "--tls-certificate", certificate, "--tls-key", key,
                   "--peer-tls-certificate", certificate, "--peer-tls-key", key,
                   "--peer-tls-ca", certificates / "ca.crt",
                   "--root-password-file", certificates / "root.password"]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        self.may_end = False

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.may_end = True
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def terminate(self, seconds=30):
        self.may_end = True
        self.process.terminate()
        return self.process.wait(seconds)

    def wait_for_end(self, seconds):
        """The exit status; None if it goes on."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def ask(self, path, body, seconds=2.0):
        """One call of the JSON gateway as root; OSError or Failed if it does not work out."""
        if self.cluster.token is None:
            answer = self.call("/v3/auth/authenticate", {"name": "root", "password": self.cluster.password}, 5)
            self.cluster.token = answer["token"]
        try:
            return self.call(path, body, seconds)
        except Failed as failure:
            if "auth token" in str(failure):
                self.cluster.token = None  # the next one logs in again
            raise

    def call(self, path, body, seconds):
        connection = http.client.HTTPSConnection(self.host, sandbox.CLIENT_PORT, timeout=seconds,
                                                 context=self.cluster.tls)
        try:
            headers = {"authorization": self.cluster.token} if self.cluster.token else {}
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Failed(f"{self.name} {path}: {answer.status} {text.decode(errors='replace')}")
        return json.loads(text)

    def status(self, seconds=1.0):
        """None if it does not answer."""
        try:
            return self.ask("/v3/maintenance/status", {}, seconds)
        except (OSError, Failed):
            return None


class Cluster:
    def __init__(self, program, folder, count=3):
        self.program = program
        self.folder = pathlib.Path(folder)
        self.certificates = self.folder.parent / "certificates"
        self.password = (self.certificates / "root.password").read_text().strip()
        self.token = None  # any member takes it
        self.tls = ssl.create_default_context(cafile=self.certificates / "ca.crt")
        self.members = {number: Member(self, number) for number in range(1, count + 1)}
        self.initial = ",".join(f"{member.name}={member.peer}" for member in self.members.values())

    def add(self, number):
        self.members[number] = Member(self, number)
        return self.members[number]

    def start(self):
        for member in self.members.values():
            member.start()

    @property
    def endpoints(self):
        return [member.client for member in self.members.values()]

    def voters_running(self):
        return [member for member in self.members.values() if member.running]

    def leader(self, seconds=START_SECONDS_MAX, among=None):
        """The member that every asked member calls leader."""
        deadline = time.monotonic() + seconds
        said = []
        while time.monotonic() < deadline:
            asked = among or self.voters_running()
            said = [(member, member.status(0.5)) for member in asked]
            answers = [status for _, status in said if status is not None]
            leaders = {status.get("leader", "0") for status in answers}
            if len(answers) == len(asked) and len(leaders) == 1 and leaders != {"0"}:
                for member, status in said:
                    if status["header"]["member_id"] in leaders:
                        return member
            time.sleep(0.02)
        shown = {member.name: status and (status.get("leader"), status.get("raftTerm")) for member, status in said}
        raise Failed(f"no leader within {seconds} s: {shown}")

    def wait_until_equal(self, seconds=START_SECONDS_MAX):
        """Every running member has applied what the leader has committed, nearly."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            answers = [member.status() for member in self.voters_running()]
            if all(answers):
                applied = [int(status.get("raftAppliedIndex", 0)) for status in answers]
                if max(applied) - min(applied) < 500 and len({status.get("leader") for status in answers}) == 1:
                    return
            time.sleep(0.05)
        raise Failed(f"some member did not catch up within {seconds} s")

    def stop(self):
        for member in self.members.values():
            if member.running:
                member.thaw()
                member.kill()

    def complaints(self):
        """What the members' own logs and ends say that must not be."""
        found = []
        for member in self.members.values():
            log = member.log()
            for sign in ("AddressSanitizer", "runtime error:", "LeakSanitizer", "must hold", "assertion"):
                if sign in log:
                    found.append(f"{member.name}: its log says '{sign}'")
            if member.process is not None and not member.running and not member.may_end:
                last = log.strip().split("\n")[-1]
                found.append(f"{member.name} ended with {member.process.returncode}, which nobody asked for: {last}")
        return found


def make_certificates(program, folder, count):
    command = [program, "init", *[f"n{number}" for number in range(1, count + 1)]]
    for number in range(1, count + 1):
        command += ["--host", sandbox.address_of(number)]
    sandbox.run(*command, "--directory", folder / "certificates")


def key_in_json(text):
    return base64.b64encode(text.encode()).decode()


def copy_folder(source, target):
    if os.path.exists(target):
        shutil.rmtree(target)
    shutil.copytree(source, target)
