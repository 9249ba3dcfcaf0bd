"""A shop on Lockstep whose services, databases and node are killed while 2,000 orders are placed; then every order's account.

The shop is examples/shop: its README says what is a TCC, a saga, an outbox and a timer in it.
"""

import pathlib
import threading
import time

import shop_account
import shop_databases
from cluster import fail, say
from shop_buyers import Buyers, read_rows
from shop_kills import Killer, describe
from shop_services import EXAMPLE, Services

PAY_WITHIN_MS = 10_000
BUYERS_AT_A_TIME = 24
# Beyond the last kill and answer: until timers have fired and transactions ended.
SETTLE_S = 90
PROOFS_SHOWN = 6


class Show:
    """Buyers and killer side by side: kills are spread over the orders, and orders wait for the kills that are due."""

    def __init__(self, cluster, services, databases, rows, kills):
        self.rows, self.kills = rows, kills
        self.killer = Killer(cluster, services, databases)
        self.order_port = services["order"].port
        self.buyers = Buyers(rows, self.order_port, PAY_WITHIN_MS / 1000, BUYERS_AT_A_TIME, self.pace)
        self.changed = threading.Condition()
        self.begun = 0
        self.killed = 0

    def due(self, orders):
        """How many kills are due once so many orders have begun: the first soon, the last before the end."""
        return min(self.kills, orders * (self.kills + 1) // len(self.rows))

    def pace(self, number):
        with self.changed:
            self.begun = max(self.begun, number)
            self.changed.notify_all()
            if not self.changed.wait_for(lambda: self.killed >= self.due(number) - 1, timeout=60):
                fail("nobody was killed for a minute")

    def run(self):
        began = time.monotonic()
        self.buyers.start()
        for number, kill in enumerate(self.killer.plan(self.kills)):
            with self.changed:
                self.changed.wait_for(lambda: self.due(self.begun) > number or self.buyers.errors, timeout=60)
            if self.buyers.errors:
                break
            self.killer.do(kill)
            with self.changed:
                self.killed += 1
                self.changed.notify_all()
            if (number + 1) % 10 == 0 or number + 1 == self.kills:
                say(f"  {time.monotonic() - began:4.0f} s   {self.buyers.done:>5} orders   {number + 1:>3} kills, "
                    f"{self.killer.between} of them between try and decision")
        self.buyers.join()
        say(f"  {time.monotonic() - began:4.0f} s   every buyer has an answer")


def settle(show, databases):
    """Until nothing is under way any more; whatever still is after that is told as stuck."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        unfinished = show.killer.unfinished()
        account = shop_account.Account(shop_account.read(databases), show.rows, show.buyers.told, unfinished)
        if account.is_clean() or time.monotonic() > deadline:
            return account
        time.sleep(0.3)


def print_account(account, show):
    say("\nWhat became of the orders, as the databases have it")
    for case, ends in sorted(account.ends().items()):
        say(f"  {case:<15} {sum(ends.values()):>5}   " + ", ".join(f"{count} {state}" for state, count in sorted(ends.items())))
    if account.late:
        say(f"  {account.late} of them were released because their payment came too late, and their buyers know")
    say(f"\n{show.killer.kills} kills, {show.killer.between} of them between try and decision. For example:")
    for kill, proof in show.killer.proofs[:PROOFS_SHOWN]:
        say(describe(kill, proof))
    say("\n" + ", ".join(f"{count} {what}" for what, count in sorted(show.buyers.counts.items())))
    say("\nThe account, computed from the four databases")
    for line in account.lines():
        say("  " + line)
    for line, findings in account.findings.items():
        for finding in findings[:5]:
            say(f"    {line}: {finding}")


def run(cluster, services, databases, orders, kills, between_min):
    """True if the account is clean."""
    rows = read_rows(EXAMPLE / "orders.csv", orders)
    say(f"\n{len(rows)} orders of examples/shop/orders.csv, {BUYERS_AT_A_TIME} buyers at a time, each database a "
        f"{databases['order'].kind} of its own; {kills} kills meanwhile.")
    show = Show(cluster, services, databases, rows, kills)
    show.run()
    account = settle(show, databases)
    services.check()
    print_account(account, show)
    good = account.is_clean()
    if good:
        missed = shop_account.notices(databases, rows, show.buyers.told, account)
        say("  would it notice? " + ("yes: each of six wrong rows was found" if not missed else "NO, not: " + ", ".join(missed)))
        good = not missed
    if show.killer.kills < kills or show.killer.between < between_min:
        say(f"  too few kills: {show.killer.kills}, {show.killer.between} between try and decision; {kills} and {between_min} were wanted")
        good = False
    return good
