"""What runs under `lockstep lock` in the fault suite: `write VALUE` and `fence VALUE`, with the lock that its environment
names; a SIGTERM, by which it is told that the lock is lost, it only reports."""

import os
import pathlib
import random
import signal
import sys
import types

from recipe_client import Edge, Login


def say(line):
    os.write(1, (line + "\n").encode())  # also from the handler of a signal


def main():
    certificates = pathlib.Path(sys.argv[1])
    members = {host: types.SimpleNamespace(host=host) for host in sys.argv[2].split(",")}
    password = (certificates / "root.password").read_text().strip()
    cluster = types.SimpleNamespace(certificates=certificates, password=password, members=members)
    edge = Edge(Login(cluster), random.Random())
    name, token = os.environ["LOCKSTEP_LOCK_NAME"], int(os.environ["LOCKSTEP_LOCK_TOKEN"])
    session = os.environ["LOCKSTEP_SESSION"]
    signal.signal(signal.SIGTERM, lambda *_: say("lost"))
    say(f"holds {token}")
    for line in sys.stdin:
        what, value = line.split()
        put = [{"key": f"kept/{name}", "value": value}]
        mine = {"name": name, "session": session} if what == "write" else {"resource": name}
        status, answer = edge.post("/v1/locks/write", {**mine, "token": token, "put": put})
        say("written" if status == 200 else f"refused {answer.get('code', status)}")


main()
