"""The SDK's suites on real servers: a lockstepd that asks for certificates and passwords, or a stock etcd."""

import argparse
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2] / "tests" / "clients"))
import servers  # noqa: E402

WORKER, GUEST = "worker", "guest"


def run(*command):
    result = subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            timeout=120, check=False)
    if result.returncode != 0:
        sys.exit(f"FAILED with {result.returncode}: {' '.join(map(str, command))}\n{result.stdout}")
    return result.stdout


class Secured:
    """One member with TLS on both ends, authentication on, and two users: one may do everything, one little."""

    def __init__(self, program, folder):
        certificates = pathlib.Path(folder) / "certificates"
        run(program, "init", "--directory", certificates, "default")
        self.authority = certificates / "ca.crt"
        self.pair = (certificates / "default.crt", certificates / "default.key")
        self.password = (certificates / "root.password").read_text().splitlines()[0]
        context = ssl.create_default_context(cafile=self.authority)
        context.load_cert_chain(*self.pair)
        self.server = servers.lockstepd_cluster(
            program, folder, 1, "--tls-certificate", self.pair[0], "--tls-key", self.pair[1], "--tls-client-ca",
            self.authority, "--root-password-file", certificates / "root.password", tls=context)[0]

    def make_users(self):
        permissions = {WORKER: [("", "--from-key")], GUEST: [("allowed/", "--prefix"), ("lockstep/sessions/", "--prefix")]}
        for user, keys in permissions.items():
            self.control("user", "add", f"{user}:{self.password}")
            self.control("role", "add", user)
            for each in keys:
                self.control("role", "grant-permission", user, "readwrite", *each)
            self.control("user", "grant-role", user, user)

    def control(self, *words):
        run("etcdctl", "--endpoints", f"https://{self.server.endpoint}", "--cacert", self.authority, "--cert", self.pair[0],
            "--key", self.pair[1], "--user", f"root:{self.password}", *words)

    def arguments(self):
        return [f"--ca={self.authority}", f"--certificate={self.pair[0]}", f"--key={self.pair[1]}", f"--user={WORKER}",
                f"--password={self.password}", f"--user-of-one-prefix={GUEST}", "--coordinates"]


def judge(printed, status):
    """The suites' own verdict, and what they lacked by name: each in one line."""
    for lacking in sorted(set(re.findall(r"\[  LACKS   \] (.*)", printed))):
        print("lacks", lacking)
    tests = re.findall(r"^\[\s+(OK|SKIPPED|FAILED)\s+\] (\S+)(?: \(\d+ ms\))$", printed, re.M)
    passed = sum(outcome == "OK" for outcome, _ in tests)
    print(f"{passed} tests passed, {sum(outcome == 'SKIPPED' for outcome, _ in tests)} lack something")
    if status != 0 or passed < 50:
        sys.exit(f"FAILED with {status}, {passed} passed:\n{printed}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suites", required=True)
    parser.add_argument("--lockstepd", required=True)
    parser.add_argument("--on", choices=("secured", "etcd"), required=True)
    parser.add_argument("more", nargs="*", help="for the suites: --gtest_filter=…")
    arguments = parser.parse_args()
    servers.need("etcd", "etcdctl")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.on == "etcd":
            server, words = servers.etcd(folder), []
        else:
            secured = Secured(arguments.lockstepd, folder)
            server, words = secured.server, secured.arguments()
        try:
            if arguments.on == "secured":
                secured.make_users()
            command = [arguments.suites, f"--servers={arguments.on}", f"--endpoints={server.endpoint}", *words, *arguments.more]
            ran = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280, check=False)
            judge(ran.stdout, ran.returncode)
        except SystemExit:
            print(server.printed())
            raise
        finally:
            ended = server.stop()
    if ended not in (0, -15):
        sys.exit(f"the server ended with {ended}")


if __name__ == "__main__":
    main()
