"""What only loader bcc can lose: it reads the instruction that made a call, where it reads no structure."""

import contextlib
import ctypes
import os
import platform
import signal

import pytest

from recorder.kernel.bcc_backend import BccBackend
from recorder.kernel.bcc_spec import bcc_spec
from recorder.kernel.headers import find_headers
from recorder.kernel.layout import SlotMode
from recorder.kernel.spec import Bounds
from recorder.model.abi import Abi
from recorder.model.errors import MissingHeaders, MissingLibrary
from tests.mixing.hand import recorded
from tests.truth.calls import calls

pytestmark = pytest.mark.root

# sys/ptrace.h; offsets in struct user (sys/user.h)
TRACEME, PEEKUSER, POKEUSER, SYSCALL = 0, 3, 6, 24
ORIG_RAX, RIP = 15 * 8, 16 * 8
GETPGRP = 111


def ptrace(request, pid=0, address=0, data=0):
    """ptrace(2)."""
    function = ctypes.CDLL(None, use_errno=True).ptrace
    function.restype = ctypes.c_long
    return function(
        ctypes.c_long(request), ctypes.c_int(pid), ctypes.c_void_p(address), ctypes.c_void_p(data)
    )


def traced(cgroup):
    """A child that waits to be traced; from there on it calls getpgrp, and ends."""
    pid = os.fork()
    if pid == 0:
        try:
            (cgroup / "cgroup.procs").write_text("0")
            ptrace(TRACEME)
            os.kill(os.getpid(), signal.SIGSTOP)
            os.getpgrp()
        finally:
            os._exit(0)
    return pid


def hide_the_instruction_of(number, pid):
    """At the entry of that call the child's instruction pointer says a place where nothing is."""
    before = None
    while not os.WIFEXITED(os.waitpid(pid, 0)[1]):
        if before is not None:
            ptrace(POKEUSER, pid, RIP, before)
            before = None
        elif ptrace(PEEKUSER, pid, ORIG_RAX) == number:
            before = ptrace(PEEKUSER, pid, RIP)
            ptrace(POKEUSER, pid, RIP, 8)
        ptrace(SYSCALL, pid)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere a register tells the ABI")
def test_abi_unknown_where_the_instruction_cannot_be_read(scratch_cgroup):
    """The call is counted as lost, and not guessed; with the running kernel's headers it is recorded."""
    system = os.uname()
    try:
        headers = find_headers(system.release, system.machine, os.environ)
        backend = BccBackend(bcc_spec(Bounds(slots=1), headers), headers)
    except (MissingHeaders, MissingLibrary) as error:
        pytest.skip(str(error))
    cgroup = scratch_cgroup()
    with contextlib.closing(backend):
        target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
        hide_the_instruction_of(GETPGRP, traced(cgroup))
        backend.drop(target)
        reading = backend.read(target, final=True)
    seen = recorded(reading.calls.items(), 2)
    assert seen >= calls(Abi.X86_64, "kill", "exit_group")
    assert (calls(Abi.X86_64, "getpgrp") <= seen) is headers.matching
    assert reading.ledger.counts.get("abi_unknown", 0) == (0 if headers.matching else 1)
    assert reading.ledger.verdict.complete is headers.matching
