"""A PostgreSQL or MariaDB server of the demo's own: on a free port, in a temporary folder, gone when the demo ends."""

import atexit
import glob
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

from cluster import fail, free_ports


def program(name, *folders):
    found = shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/sbin"]))
    return found or fail(f"{name} is not installed: ./do setup --list says what is missing")


def run(words, user, **options):
    done = subprocess.run(words, user=user, capture_output=True, text=True, timeout=120, **options)
    if done.returncode != 0:
        fail(f"{' '.join(map(str, words))}: {done.stdout[-500:]}{done.stderr[-500:]}")


class Server:
    """PostgreSQL refuses to run as root: then it is the user that its package made."""

    def __init__(self, kind):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lockstep-shop-"))
        self.port = free_ports(1)[0]
        self.user = "postgres" if kind == "postgres" and os.geteuid() == 0 else None
        if self.user:
            os.chown(self.folder, pwd.getpwnam(self.user).pw_uid, -1)
        atexit.register(self.end)
        self.process = None
        if kind == "postgres":
            self.start_postgres()
            self.url = f"postgres://shop@127.0.0.1:{self.port}"
        else:
            self.start_mariadb()
            self.url = f"mariadb://shop@127.0.0.1:{self.port}"

    def start(self, words):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(words, user=self.user, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                            start_new_session=True, cwd=self.folder)

    def start_postgres(self):
        folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
        data = self.folder / "data"
        run([program("initdb", *folders), "-D", data, "-U", "shop", "-A", "trust", "-N"], self.user, cwd=self.folder)
        self.start([program("postgres", *folders), "-D", data, "-p", str(self.port), "-k", self.folder, "-h", "127.0.0.1",
                    "-c", "max_connections=500"])
        self.wait([program("psql"), "-X", "-c", "SELECT 1", f"postgres://shop@127.0.0.1:{self.port}/postgres"])

    def start_mariadb(self):
        data, socket = self.folder / "data", self.folder / "socket"
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        run([program("mariadb-install-db"), "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal",
             "--skip-test-db", *as_root], self.user, cwd=self.folder)
        self.start([program("mariadbd"), "--no-defaults", f"--datadir={data}", f"--socket={socket}", f"--port={self.port}",
                    "--bind-address=127.0.0.1", f"--pid-file={self.folder / 'pid'}", "--max-connections=500", *as_root])
        client = [program("mariadb"), "--no-defaults", f"--socket={socket}", "-uroot", "-e"]
        self.wait([*client, "SELECT 1"])
        run([*client, "CREATE USER shop@'127.0.0.1'; GRANT ALL ON *.* TO shop@'127.0.0.1'"], None)

    def wait(self, words):
        deadline = time.monotonic() + 60
        while subprocess.run(words, capture_output=True, timeout=60).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                fail(f"the database server is not there: {(self.folder / 'log').read_text()[-500:]}")
            time.sleep(0.1)

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
