"""The buyers: each row of orders.csv is one of them, who does what its case says, and repeats what was not answered."""

import csv
import http.client
import json
import threading
import time

from cluster import fail

# What a buyer may have to wait for in all, services being killed under it again and again.
PATIENCE_S = 90


class Shop:
    """One buyer's way to the order service."""

    def __init__(self, port, counts):
        self.port, self.counts, self.connection = port, counts, None

    def send(self, path, key, body):
        try:
            if self.connection is None:
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Idempotency-Key": key})
            answer = self.connection.getresponse()
            text = answer.read().decode()
            if answer.getheader("Idempotent-Replayed"):
                self.counts.add("answered from what was stored")
            return answer.status, answer.getheader("Retry-After"), text
        except (OSError, http.client.HTTPException):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            return 0, None, ""

    def ask(self, path, key, body):
        """(status, answer), once there is one that says how it ended."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            status, retry_after, text = self.send(path, key, body)
            if status in (200, 201, 402) or status == 409 and not retry_after:
                return status, json.loads(text)
            if status not in (0, 409, 503):
                fail(f"POST {path} with Idempotency-Key {key} is answered {status}: {text}")
            if time.monotonic() > deadline:
                fail(f"POST {path} with Idempotency-Key {key} found no end within {PATIENCE_S} s, at last {status}: {text}")
            self.counts.add("requests sent again")
            time.sleep(0.2)


class Counts(dict):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def add(self, what):
        with self.lock:
            self[what] = self.get(what, 0) + 1


class Buyers:
    """Replays rows with so many at a time. `pace(n)` is called before the n-th order and may hold it back."""

    def __init__(self, rows, port, pay_within_s, at_a_time, pace):
        self.rows, self.port, self.pay_within_s, self.pace = rows, port, pay_within_s, pace
        self.counts = Counts()
        self.told = {}    # order of the file -> what the buyer was told last: the state
        self.numbers = {}  # order of the file -> the shop's number of it
        self.done = 0
        self.lock = threading.Lock()
        self.queue = iter(enumerate(rows))
        self.late = []
        self.errors = []
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(at_a_time)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def join(self):
        for thread in self.threads:
            thread.join()
        for thread in self.late:
            thread.join()
        if self.errors:
            fail(self.errors[0])

    def work(self):
        while not self.errors:
            with self.lock:
                number, row = next(self.queue, (None, None))
            if row is None:
                return
            try:
                self.pace(number)
                self.buy(row)
            except (Exception, SystemExit) as error:  # whatever it was, join() tells it
                self.errors.append(str(error))

    def buy(self, row):
        shop, case = Shop(self.port, self.counts), row["case"]
        twice = case == "duplicate"
        status, answer = self.place(shop, row, twice)
        self.told[row["order"]], self.numbers[row["order"]] = answer["state"], answer["order"]
        if status == 201 and case == "late":
            thread = threading.Thread(target=self.pay_late, args=(row, answer["order"]), daemon=True)
            self.late.append(thread)
            thread.start()
        elif status == 201 and case != "unpaid":
            self.pay(shop, row, answer["order"], twice)
        if case == "refunded" and self.told[row["order"]] == "paid":
            status, answer = shop.ask(f"/orders/{answer['order']}/refund", f"{row['order']}-refund", {})
            self.told[row["order"]] = answer["state"]
        with self.lock:
            self.done += 1

    def both(self, row, path, key, body, shop, twice):
        """The answer; where the buyer is impatient, two of the same request at the same time must get the same."""
        if not twice:
            return shop.ask(path, key, body)
        answers = []
        other = threading.Thread(target=lambda: answers.append(Shop(self.port, self.counts).ask(path, key, body)), daemon=True)
        other.start()
        answers.append(shop.ask(path, key, body))
        other.join()
        self.counts.add("requests sent twice at once")
        if len(answers) != 2 or answers[0] != answers[1]:
            fail(f"{row['order']}: the same request was answered {answers}")
        return answers[0]

    def place(self, shop, row, twice):
        body = {"buyer": row["buyer"], "item": row["item"], "quantity": int(row["quantity"]), "cents": int(row["cents"])}
        return self.both(row, "/orders", row["order"], body, shop, twice)

    def pay(self, shop, row, number, twice):
        _, answer = self.both(row, f"/orders/{number}/payment", f"{row['order']}-pay", {}, shop, twice)
        self.told[row["order"]] = answer["state"]

    def pay_late(self, row, number):
        try:
            time.sleep(self.pay_within_s + int(row["order"][1:]) % 6 * 1.0)  # before and after the timer
            self.pay(Shop(self.port, self.counts), row, number, False)
        except (Exception, SystemExit) as error:
            self.errors.append(str(error))


def read_rows(file, limit):
    with open(file, newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))[:limit]
