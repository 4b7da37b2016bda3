"""What a recording looks for."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Kind"]


class Kind(StrEnum):
    """The text is the one of `--kind`, and of a record's provenance."""

    SYSCALLS = "syscalls"
    """The calls that are made."""
    DENIALS = "denials"
    """The calls that a seccomp filter denies, and what AppArmor or SELinux denies."""
    ACCESSES = "accesses"
    """What is used: files, sockets, signals, mounts, capabilities."""
