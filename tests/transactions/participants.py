"""Services that take part in transactions, well or badly, and remember what was asked of them."""

import collections
import http.server
import json
import threading
import time

HUGE = 100 * 1024 * 1024


class Participants:
    """One HTTP server. The first word of a path says how it answers:

    ok        at once                     slow     after 50 ms
    refuse    409, without effect         broken   500
    down      503 until `up` is set       stuck    500 to compensations, else as ok
    garbage   bytes that are no HTTP      huge     200 with 100 MB
    never     not at all
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.up = threading.Event()
        self.closing = threading.Event()
        self.effects = collections.Counter()  # by (gid, branch, operation): how often it took effect
        self.order = collections.defaultdict(list)  # by gid: (operation, branch) as they took effect
        self.calls = collections.Counter()  # by the path's first word
        self.attempts = collections.defaultdict(list)  # by Idempotency-Key: the attempts as they were numbered
        self.wrong = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                owner.serve(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *_):
                pass  # whoever called went away: that is what is tried here

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def serve(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        name = request.headers["Lockstep-Transaction"]
        operation, branch = request.headers["Lockstep-Operation"], request.headers["Lockstep-Branch"]
        key = request.headers["Idempotency-Key"]
        word = request.path.strip("/").split("/")[0]
        with self.lock:
            self.calls[word] += 1
            self.attempts[key].append(int(request.headers["Lockstep-Attempt"]))
            if key != f"{name}/{branch}/{operation}":
                self.wrong.append(f"the key {key} is not of {name}/{branch}/{operation}")
        if word == "never":
            self.closing.wait(60)
            request.close_connection = True
            return
        if word == "garbage":
            request.wfile.write(b"\x00\xffthis is no HTTP\r\n\r\n" * 10)
            request.close_connection = True
            return
        if word == "huge":
            return self.send_huge(request)
        if word == "slow":
            time.sleep(0.05)
        status = {"refuse": 409, "broken": 500}.get(word, 200)
        if word == "down" and not self.up.is_set():
            status = 503
        if word == "stuck" and operation in ("compensate", "cancel"):
            status = 500
        if status == 200:
            with self.lock:
                if not self.effects[name, branch, operation]:
                    self.order[name].append((operation, branch))
                    self.effects[name, branch, operation] = 1
        self.answer(request, status, {"status": status, "got": json.loads(body or b"null")})

    @staticmethod
    def answer(request, status, body):
        text = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(text)))
        request.end_headers()
        request.wfile.write(text)

    @staticmethod
    def send_huge(request):
        request.send_response(200)
        request.send_header("Content-Length", str(HUGE))
        request.end_headers()
        piece = b"x" * 65536
        for _ in range(HUGE // len(piece)):
            request.wfile.write(piece)
