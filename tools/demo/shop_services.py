"""The shop's four services as processes that can be frozen, killed and started again."""

import atexit
import http.client
import os
import pathlib
import signal
import subprocess
import time

from cluster import fail, free_ports

NAMES = ("stock", "payment", "mail", "order")
EXAMPLE = pathlib.Path(__file__).resolve().parent.parent.parent / "examples" / "shop"


class Service:
    def __init__(self, name, port, program, options, log):
        self.name, self.port, self.program, self.options, self.log = name, port, program, options, log
        self.address = f"127.0.0.1:{port}"
        self.url = f"http://{self.address}"
        self.process = None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([self.program, "--listen", self.address, *self.options], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def wait_until_ready(self, within_s=30):
        deadline = time.monotonic() + within_s
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            if self.process.poll() is not None or time.monotonic() > deadline:
                fail(f"the {self.name} service is not there: see {self.log}")
            time.sleep(0.01)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def restart(self):
        self.kill()
        self.start()
        self.wait_until_ready()


class Services(dict):
    """By name."""

    def __init__(self, programs, folder, databases, endpoints, pay_within_ms):
        super().__init__()
        ports = dict(zip(NAMES, free_ports(len(NAMES))))
        url = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        options = {"stock": ["--items", EXAMPLE / "items.csv"], "payment": ["--buyers", EXAMPLE / "buyers.csv"],
                   "mail": ["--lockstep", endpoints],
                   "order": ["--lockstep", endpoints, "--self", url["order"], "--stock", url["stock"], "--payment", url["payment"],
                             "--pay-within-ms", str(pay_within_ms)]}
        for name in NAMES:
            self[name] = Service(name, ports[name], programs / f"shop-{name}",
                                 ["--database", databases[name].url, *options[name]], pathlib.Path(folder) / f"{name}.log")
        atexit.register(self.end)
        self.leave_running = False
        self.pay_within_s = pay_within_ms // 1000

    def start(self):
        for service in self.values():
            service.start()
        for service in self.values():
            service.wait_until_ready()

    def end(self):
        for service in self.values():
            if not self.leave_running and service.process is not None and service.process.poll() is None:
                service.kill()

    def check(self):
        for service in self.values():
            if service.process.poll() is not None:
                fail(f"the {service.name} service ended by itself: see {service.log}")
