"""When something was first seen, and by whom."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MAX_COMM", "FirstSight"]

MAX_COMM = 15
"""The kernel's TASK_COMM_LEN less its NUL."""


@dataclass(frozen=True, slots=True, order=True)
class FirstSight:
    """When it was first seen (ns, CLOCK_BOOTTIME) and by which task's comm.

    `comm` ends before its first NUL and after 15 bytes.
    """

    time_ns: int
    comm: bytes = b""

    def __post_init__(self) -> None:
        object.__setattr__(self, "comm", bytes(self.comm).split(b"\0", 1)[0][:MAX_COMM])
