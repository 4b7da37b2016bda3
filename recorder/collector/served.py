"""What has to be recorded for each kind of results, and what nodes need to have them installed."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from recorder.model.kind import Kind
from recorder.model.recording import Means, ProfileKind

__all__ = ["MODULES", "SERVED"]

SERVED: Final[Mapping[tuple[ProfileKind, Means], Kind]] = MappingProxyType(
    {
        (ProfileKind.SECCOMP, Means.BPF): Kind.SYSCALLS,
        (ProfileKind.SECCOMP, Means.LOGS): Kind.SYSCALLS,
        (ProfileKind.APPARMOR, Means.BPF): Kind.ACCESSES,
        (ProfileKind.APPARMOR, Means.LOGS): Kind.DENIALS,
        (ProfileKind.SELINUX, Means.BPF): Kind.DENIALS,
        (ProfileKind.SELINUX, Means.LOGS): Kind.DENIALS,
    }
)
"""By the kind of results and `spec.recorder`, which for SeccompProfile leads to the same record."""


MODULES: Final[Mapping[ProfileKind, str]] = MappingProxyType(
    {ProfileKind.APPARMOR: "apparmor", ProfileKind.SELINUX: "selinux"}
)
"""The kernel's security module that a node needs to have results of a kind installed."""
