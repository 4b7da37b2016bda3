"""Cgroups and programs for the tests of denials, and what the audit log says in the same words."""

import contextlib
import mmap
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tests.guest.inside.denials.apparmor_operations import ALL, CHANGED, OPENED, STARTED

PROGRAM = Path(__file__).parent / "apparmor_operations.py"
CGROUPS = Path("/sys/fs/cgroup")
PROC = Path("/proc")


@contextlib.contextmanager
def new_cgroup(parent: Path = CGROUPS) -> Iterator[Path]:
    """A cgroup; what is in it at the end is killed."""
    path = parent / f"denials-{uuid.uuid4().hex[:12]}"
    path.mkdir()
    try:
        yield path
    finally:
        if (path / "cgroup.kill").exists():  # Linux 5.14
            (path / "cgroup.kill").write_text("1")
        while "populated 1" in (path / "cgroup.events").read_text():
            pass
        path.rmdir()


def cgroup_id(path: Path) -> int:
    """The kernel's number of a cgroup: its inode."""
    return path.stat().st_ino


@contextlib.contextmanager
def profiles(rules: dict[str, str]) -> Iterator[None]:
    """AppArmor profiles by name, each with its flags; all without a rule."""
    text = "".join(f"profile {name} {flags} {{\n}}\n" for name, flags in rules.items())
    policy = "abi <abi/3.0>,\n" + text
    load = ["apparmor_parser", "--replace", "--skip-cache", "--quiet"]
    subprocess.run(load, input=policy.encode(), check=True, timeout=120)
    try:
        yield
    finally:
        subprocess.run(["apparmor_parser", "--remove"], input=policy.encode(), check=False, timeout=120)


@contextlib.contextmanager
def full_backlog() -> Iterator[None]:
    """No room for audit records, so that those of a flood are not written; nothing to do without audit.

    Who sends them on runs when nobody else does: on one processor a flood leaves no time for it.
    """
    asked = subprocess.run(["auditctl", "-s"], capture_output=True, text=True, check=False, timeout=60)
    before = re.search(r"^backlog_limit (\d+)$", asked.stdout, re.MULTILINE)
    if not before:
        yield
        return
    subprocess.run(["auditctl", "-b", "1", "--backlog_wait_time", "0"], check=True, capture_output=True)
    sender = next(
        int(each.parent.name) for each in PROC.glob("[0-9]*/comm") if each.read_text() == "kauditd\n"
    )
    os.sched_setscheduler(sender, os.SCHED_IDLE, os.sched_param(0))
    try:
        yield
    finally:
        os.sched_setscheduler(sender, os.SCHED_OTHER, os.sched_param(0))
        command = ["auditctl", "-b", before[1], "--backlog_wait_time", "15000"]
        subprocess.run(command, check=True, capture_output=True)


class Confined:
    """The program of operations, in a session of its own: `wait_ready`, `go`, `wait_done`."""

    def __init__(self, folder: Path, profile: str, cgroup: Path, *verbs: str | bytes | int) -> None:
        (folder / "state").write_bytes(b"\0\0")
        with (folder / "state").open("r+b") as file:
            self._state = mmap.mmap(file.fileno(), 2)
        words = [str(word) if isinstance(word, int) else word for word in verbs]
        self._process = subprocess.Popen(
            [sys.executable, PROGRAM, folder, profile, cgroup, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_ready(self) -> None:
        assert self._process.stdout
        assert self._process.stdout.readline() == b"ready\n"

    def change(self) -> None:
        """It changes its profile, and then waits for `start`."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        deadline = time.monotonic() + 240
        # By memory: what it may do from now on is what is tested.
        while self._state[0] != CHANGED:
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def start(self) -> None:
        self._state[0] = ALL

    def open(self, number: int) -> None:
        """It opens the first `number` of its paths, those that it has opened before not again."""
        self.open_begin(number)
        deadline = time.monotonic() + 240
        while self._state[1] < number:
            assert self._process.poll() in (None, OPENED)
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def open_begin(self, number: int) -> None:
        """The same without waiting."""
        self._state[0] = STARTED + number

    def go(self) -> None:
        self.change()
        self.start()

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_done(self) -> int:
        """Until it has ended: how many operations it did; 100 if it opened paths."""
        return self._process.wait(240)

    def end(self) -> None:
        # Its profile does not let it be killed: it does what is left, and ends.
        self.start()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@contextlib.contextmanager
def confined(folder: Path, profile: str, cgroup: Path, *verbs: str | bytes | int) -> Iterator[Confined]:
    """It has joined its cgroup, and waits for `go`."""
    folder.mkdir()
    made = Confined(folder, profile, cgroup, *verbs)
    try:
        made.wait_ready()
        yield made
    finally:
        made.end()
