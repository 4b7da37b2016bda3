"""The kernel's numbers of tracepoints, read from tracefs."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from recorder.kernel.libbpf import reason
from recorder.model.errors import BpfLoadError

MOUNTS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))

# The same on every architecture (5.2; include/uapi/asm-generic/unistd.h).
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6


def tracepoint_id(event: str, mounts: tuple[Path, ...] = MOUNTS) -> int:
    """The number of an event, named as `group/event`.

    Where tracefs is not mounted, it is opened detached: nobody else sees that mount, and
    it ends with this call. Raises BpfLoadError.
    """
    for mount in mounts:
        try:
            return int((mount / "events" / event / "id").read_text())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise BpfLoadError(f"cannot read tracepoint {event} below {mount}: {error.strerror}") from error
    mount_fd = _detached_mount()
    try:
        fd = os.open(f"events/{event}/id", os.O_RDONLY | os.O_CLOEXEC, dir_fd=mount_fd)
        with open(fd, encoding="ascii") as file:
            return int(file.read())
    except OSError as error:
        raise BpfLoadError(f"tracefs has no tracepoint {event}: {error.strerror}") from error
    finally:
        os.close(mount_fd)


def _detached_mount() -> int:
    context = _call("open tracefs", _FSOPEN, b"tracefs", _FSOPEN_CLOEXEC)
    try:
        _call("make a mount of tracefs", _FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _call("mount tracefs", _FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def _call(what: str, number: int, *arguments: int | bytes | None) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else ctypes.c_char_p(word) for word in arguments]
    result: int = ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *words)
    if result < 0:
        raise BpfLoadError(
            f"cannot {what}: {reason(ctypes.get_errno())}; mount it: mount -t tracefs tracefs {MOUNTS[0]}"
        )
    return result
