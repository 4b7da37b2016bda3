"""Children that are made in a cgroup, by clone3 with CLONE_INTO_CGROUP: no attach event tells of them."""

import ctypes
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

CLONE3 = 435
CLONE_INTO_CGROUP = 0x200000000


class CloneArguments(ctypes.Structure):
    """struct clone_args (include/uapi/linux/sched.h)."""

    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            *("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size"),
            *("tls", "set_tid", "set_tid_size", "cgroup"),
        )
    ]


def born_in(
    cgroup: Path, program: Path | None = None, body: Callable[[], object] = os.getpgrp, pid: int = 0
) -> None:
    """A child made in the cgroup does `body` and execs a program, or ends; waits for its good end.

    pid: the process id that it gets, if that is free; 0 for any.
    """
    folder = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY)
    number = ctypes.c_int(pid)
    arguments = CloneArguments(
        flags=CLONE_INTO_CGROUP,
        exit_signal=signal.SIGCHLD,
        set_tid=ctypes.addressof(number) if pid else 0,
        set_tid_size=1 if pid else 0,
        cgroup=folder,
    )
    child = ctypes.CDLL(None, use_errno=True).syscall(
        ctypes.c_long(CLONE3), ctypes.byref(arguments), ctypes.c_size_t(ctypes.sizeof(arguments))
    )
    if child == 0:
        try:
            body()
            if program:
                os.execv(program, [program])  # noqa: S606  the program under observation
        finally:
            os._exit(0)
    assert child > 0, errno.errorcode[ctypes.get_errno()]
    os.close(folder)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
