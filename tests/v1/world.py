"""A real lockstepd asked over HTTP, each answer checked against the document that the server itself gives."""

import http.client
import json
import threading
import urllib.parse

import openapi


class Tally:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, what, holds, seen=""):
        self.passed, self.failed = self.passed + bool(holds), self.failed + (not holds)
        if not holds:
            print(f"FAILED {what}: {seen}", flush=True)
        return holds


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body
        self.json = json.loads(body) if body[:1] == b"{" else None

    @property
    def code(self):
        return (self.json or {}).get("code")

    def __getitem__(self, name):
        return self.json[name]

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Asked:
    def __init__(self, endpoint, tally):
        self.endpoint, self.tally = endpoint, tally
        self.document = openapi.Document(self.raw("GET", "/v1/openapi.json").body)
        self.seen = set()  # (method, path, status)
        self.lock = threading.Lock()

    def raw(self, method, path, body=None, fields=None, timeout=60):
        connection = http.client.HTTPConnection(*self.endpoint.split(":"), timeout=timeout)
        try:
            connection.request(method, path, body, fields or {})
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def ask(self, method, path, body=None, fields=None, timeout=60):
        """A request whose answer must be as the document says."""
        if method == "GET":
            given = {f"{{{name}}}": value for name, value in (body or {}).items()}  # of "/v1/transactions/{gid}"
            target, data = path, None
            for name in [name for name in given if name in path]:
                target = target.replace(name, urllib.parse.quote(str(given.pop(name)), safe=""))
            query = {name[1:-1]: value for name, value in given.items()}
            target += "?" + urllib.parse.urlencode(query) if query else ""
        else:
            target, data = path, body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        sent = {"Content-Type": "application/json"} if data is not None else {}
        answer = self.raw(method, target, data, sent | (fields or {}), timeout)
        content_type = answer.fields.get("content-type", "")
        wrong = self.document.check_answer(method, path, answer.status, content_type, answer.body)
        with self.lock:
            self.seen.add((method, path, answer.status))
            self.tally.check(f"{method} {path} {body}: the answer is as the document says", not wrong, f"{wrong}: {answer}")
            self.tally.check(f"{method} {path}: every answer has a request id", answer.fields.get("x-request-id"), answer)
        return answer

    def post(self, path, **body):
        return self.ask("POST", path, body)

    def get(self, path, **query):
        return self.ask("GET", path, query)

    def delete(self, path, **body):
        return self.ask("DELETE", path, body)

    def expect(self, what, got, status, code=None, **members):
        holds = got.status == status and (status == 200 or got.code == code)
        holds = holds and all(got.json.get(name) == value for name, value in members.items())
        return self.tally.check(what, holds, f"{got}, not {status} {code or ''} {members}")


def in_thread(function, *arguments, **named):
    """Begins a call; what it returns waits for the answer."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function(*arguments, **named)))
    thread.start()

    def wait():
        thread.join()
        return answers[0]

    return wait


class Events:
    """A stream of server-sent events, read as they come."""

    def __init__(self, asked, path, **query):
        self.asked, self.path = asked, path
        self.connection = http.client.HTTPConnection(*asked.endpoint.split(":"), timeout=60)
        self.connection.request("GET", path + "?" + urllib.parse.urlencode(query))
        self.answer = self.connection.getresponse()
        asked.seen.add(("GET", path, self.answer.status))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def next(self):
        """(event, data), or nothing at the end. What the document says of it was checked."""
        event, data = None, None
        while line := self.answer.readline():
            line = line.decode().rstrip("\n")
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                data = json.loads(line.removeprefix("data: "))
            elif not line and data is not None:
                if event != "problem":
                    wrong = self.asked.document.check(self.asked.document.event_schema(self.path, event), data)
                    self.asked.tally.check(f"{self.path}: event {event} is as the document says", not wrong, f"{wrong}: {data}")
                return event, data
        return None

    def close(self):
        self.answer.close()
        self.connection.close()
