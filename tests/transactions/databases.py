"""PostgreSQL and MariaDB of a test's own, killed with SIGKILL and started again on what is left."""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "tools" / "demo"))

import shop_databases  # noqa: E402
import shop_servers  # noqa: E402


class Database(shop_servers.Server):
    """A killed process keeps what the kernel has of it: no test here cuts the power, so none syncs."""

    ready = None

    def __init__(self, kind):
        self.kind = kind
        super().__init__(kind)
        self.client = (shop_databases.Postgres if kind == "postgres" else shop_databases.Mariadb)(self.url, "bank")
        self.bank = self.client.url

    def start(self, words):
        if self.kind == "postgres":
            words = [*words, "-c", "max_prepared_transactions=400", "-c", "fsync=off"]
        else:
            words = [*words, "--innodb-flush-log-at-trx-commit=2"]
        self.words = words
        super().start(words)

    def wait(self, words):
        self.ready = self.ready or words
        super().wait(words)

    def kill_and_restart(self):
        self.process.kill()
        self.process.wait()
        while True:
            super().start(self.words)
            try:
                return self.wait(self.ready)
            except SystemExit:
                # Its children held its memory a moment longer.
                if self.process.poll() is None:
                    raise

    def ask(self, statements):
        return self.client.rows(self.client.ask(self.bank, statements))

    def prepared(self):
        """Names of all that is prepared, whoever did."""
        if self.kind == "postgres":
            return [str(row[0]) for row in self.ask("SELECT gid FROM pg_prepared_xacts;")]
        return [str(row[3]) for row in self.ask("XA RECOVER;")]

    def prepare_foreign(self, name):
        """Something that is not ours, and must stay."""
        if self.kind == "postgres":
            statements = f"CREATE TABLE foreigners (i INT); BEGIN; INSERT INTO foreigners VALUES (1); PREPARE TRANSACTION '{name}';"
        else:
            statements = (f"CREATE TABLE foreigners (i INT) ENGINE = InnoDB; XA START '{name}'; INSERT INTO foreigners VALUES (1); "
                          f"XA END '{name}'; XA PREPARE '{name}';")
        subprocess.run(self.command(statements), check=True, capture_output=True)

    def command(self, statements):
        if self.kind == "postgres":
            return ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", self.bank, *(word for one in statements.split(";") if one.strip()
                                                                              for word in ("-c", one))]
        parts = self.bank.removeprefix("mariadb://").split("@")[1].split("/")
        host, port = parts[0].split(":")
        return ["mariadb", "--no-defaults", "-h", host, "-P", port, "--protocol=tcp", "-ushop", parts[1], "-e", statements]
