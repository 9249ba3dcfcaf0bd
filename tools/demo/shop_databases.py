"""The databases of the shop's services as the demo sees them: read for the account, and disturbed meanwhile.

Everything is read with what Debian has: Python's sqlite3, psql, mariadb. A read may first change something, which is
taken back afterwards: that is how the account proves that it would notice.
"""

import pathlib
import sqlite3
import subprocess
import time
import urllib.parse

import shop_servers
from cluster import fail

NAMES = ("order", "stock", "payment", "mail")


class Sqlite:
    """A file. Its connections cannot be killed; the whole database can be held for a while by somebody else."""

    kind = "SQLite"
    disturbance = "held by somebody else for 0.7 s"

    def __init__(self, folder, name):
        self.url = str(pathlib.Path(folder) / f"{name}.db")

    def read(self, queries, change=None):
        connection = sqlite3.connect(self.url, timeout=30, isolation_level=None)
        try:
            connection.execute("BEGIN IMMEDIATE")
            if change:
                connection.execute(change)
            rows = [connection.execute(query).fetchall() for query in queries]
            connection.execute("ROLLBACK")
            return rows
        finally:
            connection.close()

    def disturb(self):
        connection = sqlite3.connect(self.url, timeout=30, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(0.7)
        connection.execute("ROLLBACK")
        connection.close()


class Server:
    """A database of a server that is asked through its command-line client."""

    disturbance = "connections killed"

    def __init__(self, server_url, name):
        self.name = f"lockstep_shop_{name}"
        self.server = server_url.rstrip("/")
        self.url = f"{self.server}/{self.name}"
        self.create()

    def rows(self, text):
        return [[int(field) if field.lstrip("-").isdigit() else field for field in line.split("\t")] for line in text.splitlines()]

    def read(self, queries, change=None):
        statements = ["BEGIN", *([change] if change else [])]
        for query in queries:
            statements += [query, "SELECT '--'"]
        out = self.ask(self.url, ";\n".join([*statements, "ROLLBACK"]) + ";")
        results, current = [], []
        for row in self.rows(out):
            if row == ["--"]:
                results.append(current)
                current = []
            else:
                current.append(row)
        return results


class Postgres(Server):
    kind = "PostgreSQL"

    def ask(self, url, statements):
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", url], input=statements,
                              capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else fail(f"psql {url}: {done.stderr.strip()}")

    def create(self):
        self.ask(f"{self.server}/postgres", f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE);")
        self.ask(f"{self.server}/postgres", f"CREATE DATABASE {self.name};")

    def disturb(self):
        self.ask(f"{self.server}/postgres",
                 f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}';")


class Mariadb(Server):
    kind = "MariaDB"

    def ask(self, url, statements, tolerant=False):
        parts = urllib.parse.urlsplit(url)
        words = ["mariadb", "--no-defaults", *(["--force"] if tolerant else []), "-N", "-B", "-h", parts.hostname, "-P", str(parts.port or 3306), "--protocol=tcp"]
        words += [f"-u{parts.username}"] if parts.username else []
        words += [f"-p{parts.password}"] if parts.password else []
        done = subprocess.run([*words, *filter(None, [parts.path.strip("/")])], input=statements, capture_output=True, text=True,
                              timeout=60)
        return done.stdout if done.returncode == 0 or tolerant else fail(f"mariadb {url}: {done.stderr.strip()}")

    def create(self):
        self.ask(self.server, f"DROP DATABASE IF EXISTS {self.name}; CREATE DATABASE {self.name};")

    def disturb(self):
        ids = self.ask(self.server, f"SELECT id FROM information_schema.processlist WHERE db = '{self.name}';").split()
        self.ask(self.server, "".join(f"KILL {number};" for number in ids), tolerant=True)  # some have gone by themselves


def open_databases(where, folder):
    """`where`: sqlite, postgres or mariadb (a server of its own), postgres://…, mariadb://…"""
    if where == "sqlite":
        return {name: Sqlite(folder, name) for name in NAMES}
    if where in ("postgres", "mariadb"):
        where = shop_servers.Server(where).url
    kind = Postgres if where.startswith("postgres://") else Mariadb
    return {name: kind(where, name) for name in NAMES}
