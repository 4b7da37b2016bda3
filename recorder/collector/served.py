"""Which results are made, and what has to be recorded for them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from recorder.model.kind import Kind
from recorder.model.recording import Means, ProfileKind, Recording

__all__ = ["MODULES", "SERVED", "is_served", "served_kinds"]

SERVED: Final[Mapping[tuple[ProfileKind, Means], Kind]] = MappingProxyType(
    {
        (ProfileKind.SECCOMP, Means.BPF): Kind.SYSCALLS,
        (ProfileKind.SECCOMP, Means.LOGS): Kind.SYSCALLS,
        (ProfileKind.APPARMOR, Means.BPF): Kind.ACCESSES,
    }
)
"""By the kind of results and `spec.recorder`, which for SeccompProfile leads to the same record."""


MODULES: Final[Mapping[ProfileKind, str]] = MappingProxyType(
    {ProfileKind.APPARMOR: "apparmor", ProfileKind.SELINUX: "selinux"}
)
"""The kernel's security module that a node needs to have results of a kind installed."""


def is_served(recording: Recording) -> bool:
    """Whether its results are made."""
    return (recording.kind, recording.means) in SERVED


def served_kinds() -> str:
    """Return what is made, for a person: `SeccompProfile, AppArmorProfile (Bpf)`."""
    means: dict[ProfileKind, list[Means]] = {}
    for kind, each in SERVED:
        means.setdefault(kind, []).append(each)
    return ", ".join(
        kind.value if len(found) == len(Means) else f"{kind.value} ({', '.join(found)})"
        for kind, found in means.items()
    )
