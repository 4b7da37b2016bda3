"""Text that others chose, as commands show it: `recorder.model.escape`, and what a task is called."""

from __future__ import annotations

from recorder.model.escape import MAX_SHOWN, escape, escape_bytes

__all__ = ["MAX_SHOWN", "escape", "escape_comm"]


def escape_comm(comm: bytes) -> str:
    r"""Return a task's comm; bytes that are no UTF-8 as \xNN."""
    return escape_bytes(comm)
