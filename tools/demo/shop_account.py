"""The account of every order, from what the four databases say and nothing else.

An account is taken of a snapshot (read()), so that it can also be taken of one in which something was made wrong on
purpose: PLANTED names a row in a database that is changed, read and changed back, and the line that must notice.
"""

import collections

# case -> the states in which its orders may end, if its buyer was not told otherwise
ENDS = {"plain": {"paid"}, "duplicate": {"paid"}, "unpaid": {"released"}, "late": {"paid", "released"}, "refunded": {"refunded"},
        "out_of_stock": {"rejected"}, "last_item": {"paid", "rejected"}, "short_of_money": {"released"}}
HISTORY = {"paid": ["placing", "reserved", "paid"], "released": ["placing", "reserved", "released"],
           "refunded": ["placing", "reserved", "paid", "refunded"], "rejected": ["placing", "rejected"],
           "reserved": ["placing", "reserved"], "placing": ["placing"]}
RESERVATION = {"paid": "sold", "released": "returned", "refunded": "returned", "rejected": "cancelled"}
QUERIES = {
    "order": ["SELECT order_id, request, buyer, item, quantity, cents, state FROM orders"],
    "stock": ["SELECT item, total, available, held, sold FROM items", "SELECT order_id, item, quantity, state FROM reservations"],
    "payment": ["SELECT name, opened_with, cents FROM accounts", "SELECT order_id, buyer, kind, cents FROM entries"],
    "mail": ["SELECT order_id, state, position FROM mails"]}
LINES = ("oversold", "lost", "charged twice", "stuck", "wrong")

Order = collections.namedtuple("Order", "id request buyer item quantity cents state")


def read(databases, planted=None):
    """name of the database -> its tables as rows. `planted`: (database, statement)."""
    return {name: database.read(QUERIES[name], planted[1] if planted and planted[0] == name else None)
            for name, database in databases.items()}


class Account:
    """`rows`: of the file that were replayed; `told`: what their buyers were told; `unfinished`: transactions of Lockstep's."""

    def __init__(self, snapshot, rows, told, unfinished):
        self.orders = {order.request: order for order in (Order(str(fields[0]), *fields[1:]) for fields in snapshot["order"][0])}
        self.items = {item: numbers for item, *numbers in snapshot["stock"][0]}
        self.reservations = {str(order): (item, quantity, state) for order, item, quantity, state in snapshot["stock"][1]}
        self.accounts = {name: (opened_with, cents) for name, opened_with, cents in snapshot["payment"][0]}
        self.entries = collections.defaultdict(list)
        for order, buyer, kind, cents in snapshot["payment"][1]:
            self.entries[str(order)].append((buyer, kind, cents))
        self.mails = collections.defaultdict(dict)
        for order, state, position in snapshot["mail"][0]:
            self.mails[str(order)][position] = state
        self.rows, self.told, self.unfinished = rows, told, unfinished
        self.findings = {line: [] for line in LINES}
        self.late = 0  # released before their buyers could pay
        self.check_orders()
        self.check_last_items()
        self.check_stock()
        self.check_payments()
        self.stuck()
        self.money = self.money_conserved()

    def note(self, line, text):
        self.findings[line].append(text)

    def check_orders(self):
        for row in self.rows:
            order = self.orders.get(row["order"])
            if order is None:
                self.note("lost", f"{row['order']} is in no database")
                continue
            self.check_end(row, order)
            if (order.buyer, order.item, order.quantity, order.cents) != (row["buyer"], row["item"], int(row["quantity"]), int(row["cents"])):
                self.note("wrong", f"{row['order']} is not what was ordered: {order}")
            mails = self.mails[order.id]
            if [mails[position] for position in sorted(mails)] != HISTORY[order.state]:
                self.note("lost", f"of {row['order']}, which is {order.state}, these events arrived: {mails}")
        if len(self.orders) > len(self.rows):
            self.note("wrong", f"{len(self.orders)} orders were made of {len(self.rows)}")

    def check_end(self, row, order):
        """What a buyer was told for good is so; and it is what the case is for, but for orders that kills made late."""
        told, ends = self.told.get(row["order"]), ENDS[row["case"]]
        if order.state not in RESERVATION:
            return  # stuck
        if told in RESERVATION and told != order.state:
            self.note("lost", f"{row['order']}, of which the buyer was told {told}, is {order.state}")
        elif told != "paid" and order.state == "released":
            self.late += order.state not in ends
        elif order.state not in ends:
            self.note("wrong", f"{row['order']} ({row['case']}) is {order.state}")

    def check_last_items(self):
        asked = collections.defaultdict(list)
        for row in self.rows:
            if row["case"] == "last_item" and row["order"] in self.orders:
                asked[row["item"]].append(self.orders[row["order"]].state)
        for item, states in asked.items():
            if states.count("paid") > 1 or states.count("rejected") == len(states):
                self.note("wrong", f"the orders of the last {item} are {states}")

    def check_stock(self):
        taken = collections.Counter()
        for item, quantity, state in self.reservations.values():
            taken[item] += quantity if state in ("held", "sold") else 0
        for item, (total, available, held, sold) in self.items.items():
            if taken[item] > total or held + sold > total or available < 0:
                self.note("oversold", f"of {item} there were {total}, and {max(taken[item], held + sold)} are taken")
            elif taken[item] != held + sold:
                self.note("wrong", f"of {item} {held + sold} are taken, but {taken[item]} by orders")
        for order in self.orders.values():
            item, quantity, state = self.reservations.get(order.id, (order.item, order.quantity, None))
            wanted = RESERVATION.get(order.state, state)
            if (item, quantity) != (order.item, order.quantity) or state != wanted and (state, wanted) != (None, "cancelled"):
                self.note("wrong", f"{order.request} is {order.state}, and its stock {state}")

    def check_payments(self):
        for order in self.orders.values():
            net = sum(1 if kind == "charge" else -1 for _, kind, _ in self.entries[order.id])
            if net > 1:
                self.note("charged twice", f"{order.request} was charged {net} times")
            elif net != (order.state == "paid"):
                self.note("wrong", f"{order.request} is {order.state}, and was charged {net} times")
            if any((buyer, cents) != (order.buyer, order.cents) for buyer, _, cents in self.entries[order.id]):
                self.note("wrong", f"{order.request} was charged to somebody else, or something else")

    def stuck(self):
        for order in self.orders.values():
            if order.state not in RESERVATION:
                self.note("stuck", f"{order.request} is still {order.state}")
        for item, (_, _, held, _) in self.items.items():
            if held:
                self.note("stuck", f"{held} of {item} are still held")
        for gid in self.unfinished:
            self.note("stuck", f"the transaction {gid} is not finished")

    def money_conserved(self):
        """As a whole, and of each account: what it had, less what its orders cost."""
        due = collections.Counter()
        for order, entries in self.entries.items():
            for buyer, kind, cents in entries:
                amount = cents if kind == "charge" else -cents
                due[buyer] -= amount
                due["the-shop"] += amount
        of_each = all(cents == opened_with + due[name] for name, (opened_with, cents) in self.accounts.items())
        return of_each and sum(opened for opened, _ in self.accounts.values()) == sum(cents for _, cents in self.accounts.values())

    def is_clean(self):
        return self.money and not any(self.findings.values())

    def lines(self):
        return [*(f"{line}: {len(self.findings[line])}" for line in LINES), f"money conserved: {'yes' if self.money else 'no'}"]

    def ends(self):
        """case -> how many ended in which state."""
        table = collections.defaultdict(collections.Counter)
        for row in self.rows:
            order = self.orders.get(row["order"])
            table[row["case"]][order.state if order else "nowhere"] += 1
        return table


def planted_rows(account):
    """(what, database, statement, the line that must notice)"""
    paid = next(order for order in account.orders.values() if order.state == "paid")
    sold = f"order_id = '{paid.id}'"
    return [
        ("a sale of a thousand more than there were", "stock", f"UPDATE reservations SET quantity = quantity + 1000 WHERE {sold}", "oversold"),
        ("an order that vanished", "order", f"DELETE FROM orders WHERE {sold}", "lost"),
        ("an event that never arrived", "mail", f"DELETE FROM mails WHERE {sold} AND position = 3", "lost"),
        ("a second charge", "payment", f"INSERT INTO entries (id, order_id, buyer, kind, cents) VALUES ('planted', '{paid.id}', "
         f"'{paid.buyer}', 'charge', {paid.cents})", "charged twice"),
        ("an order that hangs", "order", f"UPDATE orders SET state = 'reserved' WHERE {sold}", "stuck"),
        ("a cent from nowhere", "payment", f"UPDATE accounts SET cents = cents + 1 WHERE name = '{paid.buyer}'", "money conserved")]


def notices(databases, rows, told, clean):
    """What was planted and not noticed."""
    missed = []
    for what, database, statement, line in planted_rows(clean):
        account = Account(read(databases, (database, statement)), rows, told, [])
        noticed = not account.money if line == "money conserved" else len(account.findings[line]) > 0
        if not noticed:
            missed.append(what)
    return missed
