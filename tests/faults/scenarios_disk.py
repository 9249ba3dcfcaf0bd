"""Disks that are full, fail, are slow, lie, or are somebody else's. One member at a time: the others must carry on."""

import shutil
import signal
import subprocess
import time

import sandbox
from cluster import Failed, copy_folder

SMALL_DISK = 2  # the member whose directory lies on a small tmpfs
PAGE = 4096
FIRST_RECORD = 3 * PAGE  # docs/formats/log.md


def choose(suite, trial):
    return suite.random.choice(list(trial.cluster.members.values()))


def mount_small_disk(trial):
    folder = trial.cluster.members[SMALL_DISK].data
    folder.mkdir()
    sandbox.run("mount", "-t", "tmpfs", "-o", "size=400m", "none", folder)


def unmount_small_disk(trial):
    sandbox.run("umount", "--lazy", trial.cluster.members[SMALL_DISK].data, check=False)


def must_end(trial, member, seconds, words):
    """The member ends by itself, not by a signal, and its log says why."""
    member.may_end = True
    status = member.wait_for_end(seconds)
    if status is None:
        raise Failed(f"{member.name} went on for {seconds} s")
    if status < 0 or not any(word in member.log() for word in words):
        raise Failed(f"{member.name} ended with {status}, and its log says nothing of {' or '.join(words)}")
    trial.note(f"{member.name} ended with a reason")


def disk_full(_, trial):
    """No space left: the member stops and says so, the others carry on, and with space it comes back."""
    member = trial.cluster.members[SMALL_DISK]
    time.sleep(1)
    filler = member.data / "filler"
    trial.fault("disk full")
    with open(filler, "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 20))
                file.flush()
        except OSError:
            pass
    must_end(trial, member, 30, ("No space left", "no space"))
    member.start()  # there is still none
    time.sleep(2)
    trial.note(f"started on the full disk it {'runs' if member.running else 'refuses'}")
    if member.running:
        member.kill()
    filler.unlink()
    trial.fault("space again")
    member.start()
    trial.cluster.wait_until_equal()


class Injection:
    """strace on a running member: what it does to system calls lasts until stop()."""

    def __init__(self, trial, member, what):
        self.log = trial.folder / f"{member.name}.strace"
        command = ["strace", "-f", "-qq", "-o", str(self.log), "-e", "trace=fsync,fdatasync",
                   "-e", f"inject=fsync,fdatasync:{what}", "-p", str(member.process.pid)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        if "INJECTED" not in self.log.read_text(errors="replace") and "DELAYED" not in self.log.read_text(errors="replace"):
            raise Failed("strace injected nothing")


def sync_fails(suite, trial):
    """A sync fails once: what was written is nobody knows where. The member stops at once and never tries again."""
    for member in (trial.cluster.leader(), choose(suite, trial)):
        time.sleep(0.5)
        trial.fault("sync fails")
        injection = Injection(trial, member, "error=EIO:when=1")
        must_end(trial, member, 20, ("Input/output error", "io_error"))
        injection.stop()
        member.start()
        trial.cluster.wait_until_equal()


def sync_is_slow(_, trial):
    """The leader's disk takes its time: a little, then longer than an election takes."""
    for delay in ("20ms", "300ms", "2500ms"):
        member = trial.cluster.leader()
        trial.fault(f"sync takes {delay}")
        injection = Injection(trial, member, f"delay_enter={delay}")
        time.sleep(4)
        injection.stop()
        trial.cluster.leader()


def flip(path, offset):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x10]))


def end_of_data(path):
    """Behind the last byte that is not zero."""
    with open(path, "rb") as file:
        return len(file.read().rstrip(b"\0"))


def newest(folder, pattern):
    return max(folder.glob(pattern), key=lambda path: (path.stat().st_mtime, path.name), default=None)


def damage_log(suite, member, share):
    """One bit in the records, at about this share of them."""
    segments = sorted((path, end_of_data(path)) for path in member.data.glob("log/segment-*"))
    segment, end = [found for found in segments if found[1] > FIRST_RECORD][-1]
    offset = FIRST_RECORD + int((end - 1 - FIRST_RECORD) * share)
    # Most of a small record's page is padding, which means nothing.
    page = offset // PAGE * PAGE
    with open(segment, "rb") as file:
        file.seek(page)
        offset = min(offset, page + len(file.read(PAGE).rstrip(b"\0")) - 1)
    flip(segment, max(offset, page))
    return f"{segment.name} at {offset} of {end}"


def damage_file(suite, member, pattern):
    path = newest(member.data, pattern)
    if path is None or path.stat().st_size == 0:
        return None
    offset = suite.random.randrange(path.stat().st_size)
    flip(path, offset)
    return f"{path.name} at {offset} of {path.stat().st_size}"


def bit_flips(suite, trial):
    """A stopped member's files change by one bit: it is repaired by the others, or refuses and says what is wrong."""
    damages = [
        ("log, oldest record", lambda member: damage_log(suite, member, 0.001)),
        ("log, middle", lambda member: damage_log(suite, member, suite.random.uniform(0.2, 0.9))),
        ("log, last record", lambda member: damage_log(suite, member, 1.0)),
        ("engine, table", lambda member: damage_file(suite, member, "engine/*/*.sst")),
        ("engine, manifest", lambda member: damage_file(suite, member, "engine/*/MANIFEST-*")),
        ("engine, which generation", lambda member: damage_file(suite, member, "engine/GENERATION")),
        ("birth certificate", lambda member: damage_file(suite, member, "birth")),
        ("identity, one copy", lambda member: damage_file(suite, member, "log/identity-a")),
    ]
    for what, damage in damages:
        member = choose(suite, trial)
        time.sleep(0.7)
        trial.fault(what)
        # An orderly stop leaves tables that hold everything.
        member.terminate() if "table" in what else member.kill()
        where = damage(member)
        if where is None:
            raise Failed(f"{what}: nothing there to damage")
        bring_back(trial, member, f"{what} ({where})")


def bring_back(trial, member, what):
    """Repaired while it runs, or refused with a reason; then its directory is given up and it starts anew."""
    before = len(member.log())
    member.start()
    member.may_end = True
    if member.wait_for_end(2.0) is None:
        trial.cluster.wait_until_equal()
        member.may_end = False
        trial.note(f"{what}: serves, repaired or not needed")
        return
    said = member.log()[before:].strip().split("\n")[-1]
    if member.process.returncode < 0 or not any(word in said for word in ("corrupt", "damage", "Corruption", "checksum")):
        raise Failed(f"{what}: {member.name} ended with {member.process.returncode} and says '{said}'")
    trial.note(f"{what}: refused: {said[said.find('why='):][:160]}")
    shutil.rmtree(member.data)
    member.start()
    trial.cluster.wait_until_equal()


def wiped(suite, trial):
    """A member loses its directory and comes back under its name: it gets everything again."""
    for _ in range(2):
        member = choose(suite, trial)
        time.sleep(0.5)
        trial.fault("directory wiped")
        member.kill()
        shutil.rmtree(member.data)
        member.start()
        trial.cluster.wait_until_equal()


def wiped_voter(_, trial):
    """Writes that only two of three have; one of them is wiped. It must not help the third to lead without them."""
    first, second, third = trial.cluster.members.values()
    trial.cluster.leader()
    trial.fault("third down")
    third.kill()
    trial.cluster.leader(among=[first, second])
    time.sleep(1.5)
    trial.fault("first wiped, second down")
    first.kill()
    second.kill()
    shutil.rmtree(first.data)
    first.start()
    third.start()
    time.sleep(5)
    for member in (first, third):
        if (status := member.status()) and status.get("leader", "0") != "0":
            raise Failed(f"{member.name} knows a leader although a member that has all is down and another was wiped")
    second.start()
    trial.fault("second back")
    trial.cluster.wait_until_equal()


def older_directory(suite, trial):
    """One member goes back to an older copy of its directory."""
    member = choose(suite, trial)
    member.kill()
    copy_folder(member.data, trial.folder / "older")
    member.start()
    trial.cluster.wait_until_equal()
    time.sleep(1.5)
    trial.fault("older directory")
    member.kill()
    copy_folder(trial.folder / "older", member.data)
    bring_back(trial, member, "older directory")


def two_processes(_, trial):
    """A second process on a directory in use is refused; the first one notices nothing."""
    member = trial.cluster.members[1]
    first = member.process
    before = len(member.log())
    member.start()
    second, member.process = member.process, first
    if second.wait(10) == 0 or "lock" not in member.log()[before:] and "use" not in member.log()[before:]:
        raise Failed(f"a second process was not refused with a reason: {member.log()[before:]}")
    time.sleep(1)


disk_full.trial = {"prepare": mount_small_disk, "restore": unmount_small_disk}

SCENARIOS = {
    "disk-full": disk_full,
    "sync-error": sync_fails,
    "sync-slow": sync_is_slow,
    "bit-flips": bit_flips,
    "wiped": wiped,
    "wiped-voter": wiped_voter,
    "older-directory": older_directory,
    "two-processes": two_processes,
}
