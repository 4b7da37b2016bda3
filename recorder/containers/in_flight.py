"""System calls that tasks were in when a recording began: sys_enter had passed already.

/proc/PID/task/TID/syscall shows the number of a blocked task, not its ABI; that is
taken from the executable's ELF header, as the ABI that the program was built for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from recorder.model.abi import Abi
from recorder.model.numbers import Numbers

_X32_BIT = 0x40000000

# (EI_CLASS, e_machine) from the ELF specification and its processor supplements.
_ELF_ABIS = {
    (2, 62): Abi.X86_64,
    (1, 3): Abi.I386,
    (1, 62): Abi.X32,
    (2, 183): Abi.AARCH64,
    (1, 40): Abi.ARM,
}


def program_abi(executable: Path) -> Abi | None:
    """The ABI that an ELF file was built for; None if it is none of ours, or unreadable."""
    try:
        with executable.open("rb") as file:
            head = file.read(20)
    except OSError:
        return None
    if len(head) < 20 or head[:4] != b"\x7fELF":
        return None
    order = "little" if head[5] == 1 else "big"
    return _ELF_ABIS.get((head[4], int.from_bytes(head[18:20], order)))  # type: ignore[arg-type]


def calls_in_flight(pids: Iterable[int], proc: Path = Path("/proc")) -> Mapping[Abi, Numbers]:
    """By ABI, the calls that the processes' threads are in. Threads that end meanwhile are left out."""
    found: dict[Abi, set[int]] = {}
    for pid in pids:
        abi = program_abi(proc / str(pid) / "exe")
        if abi is None:
            continue
        try:
            threads = os.listdir(proc / str(pid) / "task")
        except OSError:
            continue
        for thread in threads:
            try:
                word = (proc / str(pid) / "task" / thread / "syscall").read_text().split()[0]
            except (OSError, IndexError):
                continue
            # "running" has no call; -1 is a task stopped outside any.
            if not word.lstrip("-").isdigit() or int(word) < 0:
                continue
            number = int(word)
            called_by = abi
            if abi in (Abi.X86_64, Abi.X32):
                # A 64-bit program may make calls of x32, and the reverse: the mark decides.
                called_by = Abi.X32 if number & _X32_BIT else Abi.X86_64
                number &= ~_X32_BIT
            if number < called_by.limit:
                found.setdefault(called_by, set()).add(number)
    return {abi: Numbers.of(numbers) for abi, numbers in found.items()}
