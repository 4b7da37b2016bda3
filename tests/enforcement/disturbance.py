"""What happens to a container that did not happen to it while it was recorded."""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

SECONDS = 10.0  # until a signal must have had its effect
_STOPPED = "TtZX"


class NoEffectError(AssertionError):
    """A signal did not have the effect that the kernel gives it."""


@contextlib.contextmanager
def _member(cgroup: Path, pid: int) -> Iterator[int | None]:
    """A pidfd of a process that certainly is in the cgroup, or None."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield descriptor if pid in members(cgroup) else None
    finally:
        os.close(descriptor)


def members(cgroup: Path) -> list[int]:
    """The processes in a cgroup, oldest first; none if it is gone."""
    try:
        pids = [int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()]
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):  # ENODEV: removed while it was read
            raise
        return []
    return sorted(pids, key=lambda pid: (_start_time(pid), pid))


def _start_time(pid: int) -> int:
    """Clock ticks since boot (proc(5), field 22; the name before it may hold anything)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _send(cgroup: Path, pid: int, number: signal.Signals) -> None:
    with _member(cgroup, pid) as descriptor, contextlib.suppress(ProcessLookupError):
        if descriptor is not None:
            signal.pidfd_send_signal(descriptor, number)


def _field(pid: int, name: str) -> str:
    """A field of /proc/PID/status; empty if the process is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    lines = (line.split(":", 1) for line in text.splitlines())
    return next((value.strip() for key, value in lines if key == name), "")


def stop_and_continue(cgroup: Path) -> None:
    """SIGSTOP to every process until all have stopped, then SIGCONT; raises NoEffectError."""
    end = time.monotonic() + SECONDS
    stopped: set[int] = set()
    while new := set(members(cgroup)) - stopped:
        for pid in new:
            _send(cgroup, pid, signal.SIGSTOP)
        stopped |= new
        while left := _not_stopped(stopped):
            if time.monotonic() > end:
                raise NoEffectError(f"{[(pid, _field(pid, 'State')) for pid in left]} did not stop")
            if set(members(cgroup)) - stopped:
                break  # made after we looked, by one that had not stopped yet
            time.sleep(0.001)
    if not stopped:
        raise NoEffectError("there is no process to stop")
    for pid in sorted(stopped):
        _send(cgroup, pid, signal.SIGCONT)


def _not_stopped(pids: set[int]) -> list[int]:
    """Those that have not stopped and will; one in vfork will not before a child that has stopped execs."""
    states = {pid: (_field(pid, "State") or "X")[0] for pid in pids}
    parents_of_stopped = {int(_field(pid, "PPid") or 0) for pid, state in states.items() if state in _STOPPED}
    return [
        pid
        for pid, state in states.items()
        if state not in _STOPPED and not (state == "D" and pid in parents_of_stopped)
    ]


def send_handled(cgroup: Path, name: str, receiver: str) -> None:
    """Send a signal that the receiver has a handler for, and wait until the handler was entered."""
    number = signal.Signals[f"SIG{name}"]
    pid = next((pid for pid in members(cgroup) if receiver in ("", _field(pid, "Name"))), None)
    if pid is None:
        raise NoEffectError(f"there is no process {receiver!r}")
    bit = 1 << (number - 1)
    if not int(_field(pid, "SigCgt") or "0", 16) & bit:
        raise NoEffectError(f"{_field(pid, 'Name')!r} has no handler for {number.name}")
    end = time.monotonic() + SECONDS
    # Interpreters look for signals, and then sleep: between the two a signal would wake nobody.
    while (state := _field(pid, "State")[:1]) != "S":
        if time.monotonic() > end:
            raise NoEffectError(f"{_field(pid, 'Name')!r} does not sleep, it is {state!r}")
        time.sleep(0.001)
    _send(cgroup, pid, number)
    while int(_field(pid, "ShdPnd") or "0", 16) & bit:
        if time.monotonic() > end:
            raise NoEffectError(f"{number.name} to {_field(pid, 'Name')!r} is still pending")
        time.sleep(0.001)
