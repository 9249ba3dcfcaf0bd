"""What systemd is told: the unit file is one it understands, and a member says when it serves and when it stops.

usage: systemd_test.py --lockstepd PROGRAM

The last line is "N passed, N failed". Without systemd-analyze the unit is not checked, and that is said.
"""

import argparse
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

ROOT = pathlib.Path(__file__).parent.parent.parent


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_unit_is_understood(lockstepd, folder):
    if shutil.which("systemd-analyze") is None:
        print("noted   systemd-analyze is not installed: the unit was not checked")
        return
    # As it will be installed, but for the programs' places and the user, which this machine need not have.
    text = (ROOT / "packaging" / "lockstepd.service").read_text()
    unit = folder / "lockstepd.service"
    unit.write_text(text.replace("/usr/local/bin/lockstepd", lockstepd).replace("User=lockstep", "User=root")
                    .replace("Group=lockstep", "Group=root"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(unit)],
                          capture_output=True, text=True, timeout=60)
    if done.returncode != 0 or "lockstepd" in done.stderr:
        raise AssertionError(f"status {done.returncode}\n{done.stdout}{done.stderr}")


def test_the_example_settings_are_right(lockstepd, folder):
    example = ROOT / "packaging" / "lockstepd.toml"
    subprocess.run([lockstepd, "config", "check", "--config", str(example)], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)
    # The other half, which is commented out.
    lines = [line.removeprefix("# ") for line in example.read_text().splitlines() if " = " in line]
    values = dict(line.split(" = ", 1) for line in lines)
    whole = folder / "whole.toml"
    whole.write_text("".join(f"{key} = {value}\n" for key, value in values.items()))
    subprocess.run([lockstepd, "config", "check", "--config", str(whole)], check=True, timeout=60,
                   stdout=subprocess.DEVNULL)


def test_a_member_says_when_it_serves_and_when_it_stops(lockstepd, folder):
    path = str(folder / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, open(folder / "log", "w+") as log:
        manager.bind(path)
        manager.settimeout(60)
        port = free_port()
        process = subprocess.Popen([lockstepd, "--data-dir", str(folder / "data"), "--listen", f"127.0.0.1:{port}"],
                                   env={**os.environ, "NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"},
                                   stdout=subprocess.DEVNULL, stderr=log)
        try:
            said = []
            while "READY=1" not in said:
                said += manager.recv(4096).decode().splitlines()
            with socket.create_connection(("127.0.0.1", port), timeout=10):
                pass  # it serves, or this raises
            if not any(line.startswith("STATUS=") for line in said):
                raise AssertionError(f"no status in {said}")
            while "WATCHDOG=1" not in said:
                said += manager.recv(4096).decode().splitlines()
            process.send_signal(signal.SIGTERM)
            while "STOPPING=1" not in said:
                said += manager.recv(4096).decode().splitlines()
            if process.wait(30) != 0:
                log.seek(0)
                raise AssertionError(f"ended with {process.returncode}\n{log.read()}")
        finally:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lockstepd", required=True, type=os.path.abspath)
    lockstepd = parser.parse_args().lockstepd
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_"):
            continue
        with tempfile.TemporaryDirectory(prefix="lockstep-systemd-") as folder:
            try:
                test(lockstepd, pathlib.Path(folder))
                passed += 1
                print(f"ok      {name}", flush=True)
            except Exception:  # one failure does not hide the next
                failed += 1
                print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
