"""The shop of examples/shop, run and killed by the demo's own code: 100 orders, and every one accounted for.

usage: shop_test.py --programs FOLDER

On SQLite; with LOCKSTEP_LONG set also on PostgreSQL, MariaDB, and three nodes. Before that, without any process: an account
of made-up rows that are right is clean, and every wrong row that the demo plants is noticed; so is that the checked-in
orders are those that their generator writes.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools" / "demo"))

import shop_account  # noqa: E402
import shop_databases  # noqa: E402

PROGRAMS = None
LINES = ["oversold: 0", "lost: 0", "charged twice: 0", "stuck: 0", "wrong: 0", "money conserved: yes", "would it notice? yes"]


class Account(unittest.TestCase):
    """On databases of three orders, as services would have left them."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.databases = shop_databases.open_databases("sqlite", self.folder.name)
        self.write("order", "CREATE TABLE orders (order_id TEXT, request TEXT, buyer TEXT, item TEXT, quantity INT, cents INT, state TEXT)",
                   "INSERT INTO orders VALUES ('1', 'o1', 'ann', 'cup', 2, 900, 'paid'), ('2', 'o2', 'bob', 'cup', 1, 450, 'released'), "
                   "('3', 'o3', 'bob', 'cup', 9, 4050, 'rejected')")
        self.write("stock", "CREATE TABLE items (item TEXT, total INT, available INT, held INT, sold INT)",
                   "CREATE TABLE reservations (order_id TEXT, item TEXT, quantity INT, state TEXT)",
                   "INSERT INTO items VALUES ('cup', 5, 3, 0, 2)",
                   "INSERT INTO reservations VALUES ('1', 'cup', 2, 'sold'), ('2', 'cup', 1, 'returned')")
        self.write("payment", "CREATE TABLE accounts (name TEXT, opened_with INT, cents INT)",
                   "CREATE TABLE entries (id TEXT, order_id TEXT, buyer TEXT, kind TEXT, cents INT)",
                   "INSERT INTO accounts VALUES ('the-shop', 0, 900), ('ann', 1000, 100), ('bob', 1000, 1000)",
                   "INSERT INTO entries VALUES ('a', '1', 'ann', 'charge', 900), ('b', '2', 'bob', 'charge', 450), "
                   "('c', '2', 'bob', 'refund', 450)")
        self.write("mail", "CREATE TABLE mails (order_id TEXT, state TEXT, position INT)",
                   "INSERT INTO mails VALUES ('1', 'placing', 1), ('1', 'reserved', 2), ('1', 'paid', 3), ('2', 'placing', 1), "
                   "('2', 'reserved', 2), ('2', 'released', 3), ('3', 'placing', 1), ('3', 'rejected', 2)")
        self.rows = [row("o1", "ann", 2, 900, "plain"), row("o2", "bob", 1, 450, "late"), row("o3", "bob", 9, 4050, "out_of_stock")]
        self.told = {"o1": "paid", "o2": "released", "o3": "rejected"}

    def write(self, name, *statements):
        connection = shop_databases.sqlite3.connect(self.databases[name].url)
        for statement in statements:
            connection.execute(statement)
        connection.commit()
        connection.close()

    def account(self, planted=None, unfinished=()):
        return shop_account.Account(shop_account.read(self.databases, planted), self.rows, self.told, unfinished)

    def test_of_right_rows_is_clean(self):
        self.assertTrue(self.account().is_clean(), self.account().findings)

    def test_notices_every_planted_row_and_leaves_none(self):
        self.assertEqual(shop_account.notices(self.databases, self.rows, self.told, self.account()), [])
        self.assertTrue(self.account().is_clean())

    def test_notices_what_else_may_be_wrong(self):
        for line, planted in [
                ("lost", ("order", "UPDATE orders SET state = 'rejected' WHERE order_id = '1'")),
                ("lost", ("mail", "UPDATE mails SET position = 4 - position WHERE order_id = '2'")),
                ("wrong", ("order", "UPDATE orders SET cents = 1 WHERE order_id = '1'")),
                ("wrong", ("payment", "DELETE FROM entries WHERE id = 'c'")),
                ("wrong", ("stock", "UPDATE reservations SET state = 'sold' WHERE order_id = '2'")),
                ("stuck", ("stock", "UPDATE items SET available = 2, held = 1"))]:
            with self.subTest(planted):
                self.assertTrue(self.account(planted).findings[line])
        self.assertTrue(self.account(unfinished=["place-1"]).findings["stuck"])


def row(order, buyer, quantity, cents, case):
    return {"order": order, "buyer": buyer, "item": "cup", "quantity": str(quantity), "cents": str(cents), "case": case}


class Orders(unittest.TestCase):
    def test_are_what_their_generator_writes(self):
        example = ROOT / "examples" / "shop"
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(example / "make_orders.py", folder)
            subprocess.run([sys.executable, "-B", pathlib.Path(folder) / "make_orders.py"], check=True)
            for name in ("orders.csv", "items.csv", "buyers.csv"):
                self.assertEqual((pathlib.Path(folder) / name).read_text(), (example / name).read_text(), name)


class Killed(unittest.TestCase):
    """The whole demo: exit status, every line of the account, nothing left behind."""

    def replay(self, *options):
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run([sys.executable, "-B", ROOT / "tools" / "demo" / "demo.py", "--programs", PROGRAMS,
                                   "--folder", pathlib.Path(folder) / "demo", "--end", "--orders", "100", "--kills", "13", *options],
                                  capture_output=True, text=True, timeout=280)
            said = done.stdout + done.stderr
            self.assertEqual(done.returncode, 0, said)
            for line in LINES:
                self.assertIn("\n  " + line, said)

    def test_on_sqlite(self):
        self.replay()

    @unittest.skipUnless(os.environ.get("LOCKSTEP_LONG"), "long")
    def test_on_postgres(self):
        self.replay("--database", "postgres")

    @unittest.skipUnless(os.environ.get("LOCKSTEP_LONG"), "long")
    def test_on_mariadb(self):
        self.replay("--database", "mariadb")

    @unittest.skipUnless(os.environ.get("LOCKSTEP_LONG"), "long")
    def test_on_three_nodes(self):
        self.replay("--cluster")


def main():
    global PROGRAMS
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", type=pathlib.Path, required=True)
    arguments, rest = parser.parse_known_args()
    PROGRAMS = arguments.programs.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)


if __name__ == "__main__":
    main()
