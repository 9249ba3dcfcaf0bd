"""What a backup is worth: saved from a running member, restored into new clusters of real processes, read by etcdctl.

usage: restore_test.py --lockstepd PROGRAM --lockstep PROGRAM [--only NAME] [--keep]

The last line is "N passed, N failed".
"""

import argparse
import atexit
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "clients"))
from servers import Server, free_port  # noqa: E402


def environment(server):
    return {**os.environ, "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": server.endpoint, "ETCDCTL_DIAL_TIMEOUT": "5s"}


def start_etcd(name, data, folder):
    client, peer = free_port(), free_port()
    urls = f"http://127.0.0.1:{client}"
    server = Server(name, ["etcd", "--data-dir", str(data), "--listen-client-urls", urls, "--advertise-client-urls", urls,
                           "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--log-level", "error"], client, folder)
    server.wait_until_it_serves()
    return server

RAISE = 1_000_000_000


class World:
    """Programs, a folder, one backup that all tests restore, and what runs."""

    def __init__(self, lockstepd, lockstep, folder):
        self.lockstepd, self.lockstep, self.folder = lockstepd, lockstep, folder
        self.running = []
        self.backup = folder / "backup.snapshot"
        self.save_backup()

    def save_backup(self):
        server = self.start_member("old", ["--data-dir", str(self.folder / "old")])
        self.etcdctl(server, "put", "greeting", "hello")         # 2
        self.etcdctl(server, "put", "greeting", "hello again")   # 3
        self.etcdctl(server, "compact", "3")
        lease = self.etcdctl(server, "lease", "grant", "1000").split()[1]
        self.etcdctl(server, "put", "leased", "x", f"--lease={lease}")  # 4
        self.etcdctl(server, "put", "removed", "x")              # 5
        self.etcdctl(server, "del", "removed")                   # 6
        self.etcdctl(server, "user", "add", "ann:secret")
        self.etcdctl(server, "role", "add", "reader")
        self.etcdctl(server, "role", "grant-permission", "reader", "read", "greeting")
        self.etcdctl(server, "user", "grant-role", "ann", "reader")
        self.etcdctl(server, "snapshot", "save", str(self.backup))
        self.saved_by_us = self.folder / "ours.snapshot"
        self.run(self.lockstep, "--endpoints", server.endpoint, "snapshot", "save", str(self.saved_by_us))
        self.stop(server)

    def start_member(self, name, arguments, port=None):
        port = port or free_port()
        server = Server(name, [self.lockstepd, "--listen", f"127.0.0.1:{port}", *arguments], port, self.folder)
        self.running.append(server)
        server.wait_until_it_serves()
        return server

    def stop(self, *servers):
        for server in servers:
            self.running.remove(server)
            expect(server.stop(), 0)

    def end(self):
        for server in self.running:
            server.process.kill()
            server.process.wait()
        self.running.clear()

    def run(self, *command, status=0, env=None):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120,
                              cwd=self.folder, env=env)
        if done.returncode != status:
            raise AssertionError(f"{command}: status {done.returncode}, not {status}\n{done.stdout}{done.stderr}")
        return done.stdout if status == 0 else done.stderr

    def etcdctl(self, server, *arguments, status=0):
        return self.run("etcdctl", *arguments, status=status, env=environment(server))

    def keys(self, server):
        answer = json.loads(self.etcdctl(server, "get", "", "--prefix", "-w", "json"))
        return answer["header"]["revision"], [(kv["key"], kv["mod_revision"]) for kv in answer.get("kvs", [])]

    def restore(self, directory, *arguments, file=None, status=0):
        return self.run(self.lockstep, "snapshot", "restore", file or self.backup, "--data-dir", directory, *arguments,
                        *(["-o", "json"] if status == 0 else []), status=status)

    def restored_cluster(self, prefix, *arguments):
        """Three members from one file, each in its directory; not started."""
        cluster = ",".join(f"n{i}=127.0.0.1:{free_port()}" for i in (1, 2, 3))
        for i in (1, 2, 3):
            self.restore(f"{prefix}{i}", "--name", f"n{i}", "--initial-cluster", cluster, *arguments)
        return cluster

    def start_cluster(self, prefix):
        """A member alone does not serve: all are started before any is asked."""
        servers = []
        for i in (1, 2, 3):
            port = free_port()
            server = Server(f"{prefix}{i}", [
                self.lockstepd, "--config", str(self.folder / f"{prefix}{i}" / "lockstepd.toml"), "--listen",
                f"127.0.0.1:{port}"], port, self.folder)
            servers.append(server)
            self.running.append(server)
        for server in servers:
            server.wait_until_it_serves()
        return servers


def expect(got, wanted):
    if got != wanted:
        raise AssertionError(f"got {got!r}, wanted {wanted!r}")


def expect_in(part, text):
    if part not in text:
        raise AssertionError(f"{part!r} is not in {text!r}")


KEYS = [("Z3JlZXRpbmc=", 3), ("bGVhc2Vk", 4)]


def test_three_members_serve_what_was_saved(world):
    world.restored_cluster("three")
    servers = world.start_cluster("three")
    for server in servers:
        expect(world.keys(server), (RAISE + 6, KEYS))
        expect_in("attached keys([leased])", world.etcdctl(
            server, "lease", "timetolive", world.etcdctl(server, "lease", "list").split()[-1], "--keys"))
    expect_in("read", world.etcdctl(servers[0], "role", "get", "reader").lower())
    expect_in("Roles: reader", world.etcdctl(servers[1], "user", "get", "ann"))
    expect_in("has been compacted", world.etcdctl(servers[2], "get", "greeting", "--rev", "4", status=1))
    world.etcdctl(servers[1], "put", "after", "restore")
    expect(world.keys(servers[2])[0], RAISE + 7)
    expect(len(world.etcdctl(servers[0], "member", "list").splitlines()), 3)
    world.stop(*servers)


def test_a_directory_made_again_does_not_bring_the_old_state_back(world):
    cluster = world.restored_cluster("again")
    servers = world.start_cluster("again")
    world.etcdctl(servers[0], "put", "after", "restore")
    for server in servers[1:]:
        server.process.kill()
        server.process.wait()
        world.running.remove(server)
    # Two of three members are made again from the file: a majority that knows nothing of the last write.
    for i in (2, 3):
        shutil.rmtree(world.folder / f"again{i}")
        world.restore(f"again{i}", "--name", f"n{i}", "--initial-cluster", cluster)
    made_again = []
    for i in (2, 3):
        log = open(world.folder / f"again{i}-second.log", "wb")
        made_again.append(subprocess.Popen(
            [world.lockstepd, "--config", str(world.folder / f"again{i}" / "lockstepd.toml"), "--listen",
             f"127.0.0.1:{free_port()}"], stdout=log, stderr=subprocess.STDOUT, cwd=world.folder))
    try:
        # Whatever they do, nobody may be told of a cluster without that write.
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            answer = subprocess.run(["etcdctl", "get", "after"], capture_output=True, text=True,
                                    env={**environment(servers[0]), "ETCDCTL_COMMAND_TIMEOUT": "2s"}, timeout=30)
            if answer.returncode == 0:
                expect(answer.stdout, "after\nrestore\n")
    finally:
        for process in made_again:
            process.kill()
            process.wait()
    servers[0].process.kill()
    servers[0].process.wait()
    world.running.remove(servers[0])


def test_members_made_differently_are_strangers(world):
    first = json.loads(world.restore("stranger1", "--bump-revision", "5"))
    second = json.loads(world.restore("stranger2", "--bump-revision", "6"))
    if first["cluster_token"] == second["cluster_token"]:
        raise AssertionError("two ways to restore gave one cluster")
    same = json.loads(world.restore("stranger3", "--bump-revision", "5", file=world.saved_by_us))
    expect(same["cluster_token"], first["cluster_token"])


def test_history_stays_without_a_raise(world):
    world.restore("history", "--bump-revision", "0", "--cluster-token", "a name of its own")
    server = world.start_member("history", ["--config", str(world.folder / "history" / "lockstepd.toml")])
    expect(world.keys(server), (6, KEYS))
    expect_in("removed", world.etcdctl(server, "get", "removed", "--rev", "5"))
    expect_in("has been compacted", world.etcdctl(server, "get", "greeting", "--rev", "2", status=1))
    world.etcdctl(server, "put", "next", "x")
    expect(world.keys(server)[0], 7)
    again = world.folder / "second-generation.snapshot"
    world.etcdctl(server, "snapshot", "save", str(again))
    world.stop(server)
    expect(json.loads(world.restore("generation", file=again))["revision"], RAISE + 7)


def test_what_is_not_whole_is_refused_and_leaves_nothing(world):
    whole = world.backup.read_bytes()
    damaged = world.folder / "damaged.snapshot"
    for content, why in ((b"", "is empty"),
                         (b"x" * 544, "is no snapshot"),
                         (whole[:-1], "was cut short"),
                         (whole[:-32], "has no hash at its end"),
                         (whole[:100] + bytes([whole[100] ^ 1]) + whole[101:], "was changed"),
                         (whole + b"x", "something was appended")):
        damaged.write_bytes(content)
        expect_in(why, world.restore("never", file=damaged, status=1))
        expect_in(why, world.run(world.lockstep, "snapshot", "status", damaged, status=1))
    expect_in("No such file", world.restore("never", file=world.folder / "missing", status=3))
    for name in ("never", "never.restoring"):
        expect((world.folder / name).exists(), False)


def test_a_place_that_is_taken_is_refused(world):
    taken = world.folder / "taken"
    taken.mkdir()
    world.restore("taken")  # empty: it may be
    expect_in("is there and not empty", world.restore("taken", status=7))
    (world.folder / "other.restoring").mkdir()
    expect_in("another restore is under way", world.restore("other", status=7))
    expect_in("does not name this member", world.restore("wrong", "--initial-cluster", "n1=a:1", status=4))
    server = subprocess.run([world.lockstepd, "--data-dir", str(taken), "--listen", "127.0.0.1:0"], capture_output=True,
                            text=True, timeout=60)
    expect_in("belongs to another cluster", server.stderr + server.stdout)


def test_etcds_own_snapshot_is_refused_with_the_way_out(world):
    old = start_etcd("etcd", world.folder / "etcd", world.folder)
    world.running.append(old)
    world.etcdctl(old, "put", "from", "etcd")
    saved = world.folder / "etcd.snapshot"
    world.etcdctl(old, "snapshot", "save", str(saved))
    old.process.terminate()
    old.process.wait()
    world.running.remove(old)
    message = world.restore("never", file=saved, status=4)
    expect_in("is a snapshot of etcd", message)
    expect_in("make-mirror", message)
    # The way out, as it says.
    world.run("etcdctl", "snapshot", "restore", saved, "--data-dir", world.folder / "etcd-restored",
              env={**os.environ, "ETCDCTL_API": "3"})
    source = start_etcd("etcd-again", world.folder / "etcd-restored", world.folder)
    world.running.append(source)
    target = world.start_member("target", ["--data-dir", str(world.folder / "target")])
    mirror = subprocess.Popen(["etcdctl", "make-mirror", "--no-dest-prefix", target.endpoint], env=environment(source),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while world.etcdctl(target, "get", "from") != "from\netcd\n":
        if time.monotonic() > deadline:
            raise AssertionError("the mirror did not arrive")
        time.sleep(0.1)
    mirror.kill()
    mirror.wait()
    source.process.kill()
    source.process.wait()
    world.running.remove(source)
    world.stop(target)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lockstepd", required=True, type=os.path.abspath)
    parser.add_argument("--lockstep", required=True, type=os.path.abspath)
    parser.add_argument("--only", default="")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    os.environ["LOCKSTEP_CLIENT_CONFIG"] = "/dev/null"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="lockstep-restore-"))
    world = World(arguments.lockstepd, arguments.lockstep, folder)
    atexit.register(world.end)
    passed = failed = 0
    for name, test in list(globals().items()):
        if not name.startswith("test_") or arguments.only not in name:
            continue
        began = time.monotonic()
        try:
            test(world)
            passed += 1
            print(f"ok      {name} ({time.monotonic() - began:.1f} s)", flush=True)
        except (Exception, SystemExit):  # one failure does not hide the next
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    world.end()
    if arguments.keep or failed:
        print(f"kept {folder}")
    else:
        shutil.rmtree(folder)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
