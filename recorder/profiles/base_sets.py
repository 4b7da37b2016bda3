"""What a container runtime itself calls once the seccomp filter is on, by runtime and version.

The runtime installs the filter, then still changes capabilities and users and
executes the workload: under a profile without these calls no container starts.
The sets were measured on x86_64, minimised over all calls and repeated 60 to 300
times. Each unites noNewPrivileges on and off: off (Kubernetes' default), the
filter goes in before capabilities and users change, and needs more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["BASE_SETS", "BaseSet"]


@dataclass(frozen=True, slots=True)
class BaseSet:
    """The names, and for which runtime and versions they were measured."""

    runtime: str
    versions: str
    names: frozenset[str]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# runc is a Go program: its runtime needs futex and rt_sigreturn only sometimes
# (without them 8 to 42 % of starts fail, or hang for ever).
_RUNC_OLD = _names(
    # noNewPrivileges on (1.1.5, 1.1.15)
    "close execve fstatfs futex getdents64 openat rt_sigreturn write"
    # off, also
    " capget capset chdir fstat getcwd getppid newfstatat prctl read setgid setgroups setuid"
    # either of the two will do, depending on how it was built: both
    " faccessat2 getegid"
)

# Since 1.2.8 and 1.3.3 runc opens /proc safely, in ways that need these too (measured: 1.3.6).
_RUNC_NEW = _RUNC_OLD | _names("fstat mmap openat2 statx")

_CRUN = _names(
    # run: noNewPrivileges on, then off (1.8.1, 1.21, 1.28)
    "execve capset prctl rt_sigaction rt_sigprocmask setresgid setresuid write"
    # create and start as two commands (containerd, podman), also
    " pselect6 read"
    # exec into a running container, also
    " openat setgroups statx"
)

BASE_SETS: Final[Mapping[str, BaseSet]] = MappingProxyType(
    {
        "runc-1.1": BaseSet("runc", "up to 1.2.7 and 1.3.2", _RUNC_OLD),
        "runc-1.3.3": BaseSet("runc", "1.2.8, 1.3.3 and newer", _RUNC_NEW),
        "crun-1": BaseSet("crun", "1.8.1 to 1.28", _CRUN),
    }
)
"""The sets by name: runtime and the version from which on it holds."""
