"""A machine inside the machine: network, mounts and processes of its own, gone when the run ends however it ends.

Each member has a network namespace with one address on a bridge; clients sit at the bridge. What is cut is cut by
iptables in the receiving member's namespace, so that one direction can be cut alone.
"""

import os
import shutil
import subprocess
import sys
import tempfile

INSIDE = "LOCKSTEP_FAULTS_INSIDE"
HOME = "10.99.0.254"  # where clients and proxies are
PEER_PORT = 2380
CLIENT_PORT = 2379
FREE_BYTES_MIN = 2 << 30


def address_of(number):
    return f"10.99.0.{number}"


def run(*command, check=True):
    return subprocess.run(command, check=check, capture_output=True, text=True)


def enter():
    """Starts this program again inside. Root, or a user namespace in which we are root."""
    if os.environ.get(INSIDE):
        return
    missing = [name for name in ("unshare", "ip", "mount") if shutil.which(name) is None]
    if missing:
        sys.exit(f"error: required, but missing: {', '.join(missing)}\n       ./do setup")
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    if subprocess.run([*command, "true"], check=False).returncode != 0:
        sys.exit("error: required, but not permitted: namespaces of network, mounts and processes (unshare)\n"
                 "       run as root, or allow unprivileged user namespaces")
    os.environ[INSIDE] = "1"
    os.execvp(command[0], [*command, sys.executable, *sys.argv])


def build_network(numbers):
    run("mount", "-t", "tmpfs", "none", "/run")
    run("ip", "link", "set", "lo", "up")
    run("ip", "link", "add", "home", "type", "bridge")
    run("ip", "address", "add", f"{HOME}/24", "dev", "home")
    run("ip", "link", "set", "home", "up")
    for number in numbers:
        name = f"n{number}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", name, "master", "home", "up")
        run("ip", "-n", name, "address", "add", f"{address_of(number)}/24", "dev", "eth0")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")


def within(number):
    """What a command begins with that runs in a member's namespace."""
    return ["nsenter", f"--net=/run/netns/n{number}", "--"]


def drop(receiver, sender):
    """Nothing that this member sends arrives there any more."""
    run(*within(receiver), "iptables", "-w", "-A", "INPUT", "-s", address_of(sender), "-j", "DROP")


def drop_share(receiver, sender, share):
    run(*within(receiver), "iptables", "-w", "-A", "INPUT", "-s", address_of(sender), "-m", "statistic",
        "--mode", "random", "--probability", str(share), "-j", "DROP")


def cut(one, other):
    drop(one, other)
    drop(other, one)


def heal(numbers):
    for number in numbers:
        run(*within(number), "iptables", "-w", "-F", "INPUT")


def lead_through(sender, receiver, port):
    """Connections of this member to that one's peer port go to a port at home instead."""
    run(*within(sender), "iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", address_of(receiver),
        "--dport", str(PEER_PORT), "-j", "DNAT", "--to-destination", f"{HOME}:{port}")


def lead_straight(numbers):
    for number in numbers:
        run(*within(number), "iptables", "-w", "-t", "nat", "-F", "OUTPUT", check=False)


def works(*command):
    try:
        return run(*command, check=False).returncode == 0
    except FileNotFoundError:
        return False


def can_inject():
    with tempfile.TemporaryDirectory() as folder:
        program = "import os, sys\ntry: os.fsync(os.open(sys.argv[1], os.O_CREAT))\nexcept OSError: sys.exit(7)"
        try:
            return run("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO",
                       sys.executable, "-c", program, folder + "/file", check=False).returncode == 7
        except FileNotFoundError:
            return False


def can_mount():
    with tempfile.TemporaryDirectory() as folder:
        if not works("mount", "-t", "tmpfs", "-o", "size=1m", "none", folder):
            return False
        return works("umount", folder)


def capabilities(folder):
    """What the machine must offer, and what it may: (name, required, is there)."""
    inside = within(1)
    free = shutil.disk_usage(folder).free
    return [
        ("network namespaces joined by a bridge", True, works(*inside, "true")),
        ("iptables: drop packets of one sender", True, works(*inside, "iptables", "-w", "-S", "INPUT")),
        ("iptables: redirect connections (nat)", True, works(*inside, "iptables", "-w", "-t", "nat", "-S")),
        ("mount of a small tmpfs", True, can_mount()),
        ("strace: inject errors and delays into system calls", True, can_inject()),
        (f"{FREE_BYTES_MIN >> 30} GiB of disk", True, free >= FREE_BYTES_MIN),
        ("iptables: drop a share of the packets (statistic)", False, can_drop_share(inside)),
        ("two processors", False, (os.cpu_count() or 1) >= 2),
    ]


def can_drop_share(inside):
    rule = ["INPUT", "-s", "10.99.0.250", "-m", "statistic", "--mode", "random", "--probability", "0.1", "-j", "DROP"]
    return works(*inside, "iptables", "-w", "-A", *rule) and works(*inside, "iptables", "-w", "-D", *rule)
