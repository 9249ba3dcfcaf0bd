"""Writes orders.csv, items.csv and buyers.csv: 2,000 orders, what is in stock, and who has how much money.

usage: make_orders.py            (writes beside itself; the same files every time)

Every order is marked with its case, which says what its buyer does and what must have become of it at the end:

    plain           places it, pays it                                        paid
    duplicate       sends both requests twice, at the same time               paid, once
    unpaid          never pays                                                released by a timer, stock given back
    late            pays at about the time when the timer fires               paid, or released with the money given back
    refunded        pays, then wants the money back                           refunded, stock given back
    out_of_stock    wants more than there is                                  rejected
    last_item       one of two buyers who want the last one at the same time  paid by one of them, rejected for the other
    short_of_money  cannot pay                                                released by a timer
"""

import csv
import pathlib
import random

SEED = 20260101
CASES = {"duplicate": 200, "unpaid": 150, "late": 40, "refunded": 150, "out_of_stock": 60, "short_of_money": 40}
LAST_ITEMS = 30
ORDERS = 2000
BUYERS = 200
ITEMS = 40


def cases(random_numbers):
    """One entry for each order, or for the two of a last item, which stay side by side."""
    entries = [(case,) for case, count in CASES.items() for _ in range(count)]
    entries += [("last_item", "last_item")] * LAST_ITEMS
    entries += [("plain",)] * (ORDERS - sum(len(entry) for entry in entries))
    random_numbers.shuffle(entries)
    return entries


def orders(random_numbers, prices):
    rows, last_items = [], 0
    for entry in cases(random_numbers):
        if entry[0] == "last_item":
            last_items += 1
        buyers = random_numbers.sample(range(BUYERS), len(entry))
        for case, buyer in zip(entry, buyers):
            item, quantity = f"item-{random_numbers.randrange(ITEMS):02}", random_numbers.randint(1, 3)
            if case == "last_item":
                item, quantity = f"last-{last_items:02}", 1
            elif case == "out_of_stock":
                item, quantity = "sold-out", random_numbers.randint(1, 3)
            name = "penniless" if case == "short_of_money" else f"buyer-{buyer:03}"
            rows.append([f"o{len(rows) + 1:04}", name, item, quantity, prices[item] * quantity, case])
    return rows


def write(name, head, rows):
    with open(pathlib.Path(__file__).parent / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def main():
    random_numbers = random.Random(SEED)
    items = [f"item-{number:02}" for number in range(ITEMS)]
    items += [f"last-{number + 1:02}" for number in range(LAST_ITEMS)] + ["sold-out"]
    prices = {item: random_numbers.randint(99, 19999) for item in items}
    rows = orders(random_numbers, prices)
    ordered = {item: sum(row[3] for row in rows if row[2] == item) for item in items}
    stock = {item: ordered[item] for item in items}  # enough for everybody, and not one more
    stock.update({item: 1 for item in items if item.startswith("last-")}, **{"sold-out": 0})
    write("items.csv", ["item", "cents", "stock"], [[item, prices[item], stock[item]] for item in items])
    names = [f"buyer-{number:03}" for number in range(BUYERS)]
    write("buyers.csv", ["buyer", "cents"], [[name, 5_000_000] for name in names] + [["penniless", 50]])
    write("orders.csv", ["order", "buyer", "item", "quantity", "cents", "case"], rows)


if __name__ == "__main__":
    main()
