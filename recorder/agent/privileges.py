"""Capabilities that the agent gives up for ever: all but those of `NEEDED`.

By prctl(2) and capset(2) (include/uapi/linux/capability.h, version 3; prctl.h). The
kernel keeps capabilities for each thread, so this comes before any other thread is made:
before a grpc.aio server, and after what needs more (mounting a bpffs).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType

from recorder.kernel.preemption import programs_are_preemptible
from recorder.model.errors import InternalError, NotPermitted

__all__ = ["NEEDED", "Capability", "Privileges", "drop", "held", "needed"]

STATUS = Path("/proc/self/status")
TASKS = Path("/proc/self/task")
PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
LAST = Path("/proc/sys/kernel/cap_last_cap")

_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x20080522

# Distributions' own patch: above 2, events of any kind need CAP_SYS_ADMIN (Debian's
# "security,perf: Allow further restriction of perf_event_open").
_PARANOID_OF_ADMIN = 2


class Capability(IntEnum):
    """Those that are spoken of here; the kernel's numbers."""

    DAC_READ_SEARCH = 2
    SETPCAP = 8
    SYS_PTRACE = 19
    SYS_ADMIN = 21
    AUDIT_CONTROL = 30
    AUDIT_READ = 37
    PERFMON = 38
    BPF = 39


NEEDED: Mapping[Capability, str] = MappingProxyType(
    {
        Capability.BPF: "load a BPF object later on, as for a capture by pid; before Linux 5.19 any use of"
        " bpf(2), where kernel.unprivileged_bpf_disabled is set",
        Capability.PERFMON: "load a tracing program later on; perf_event_open(2), where programs are attached"
        " to classic tracepoints (Linux 7)",
        Capability.SYS_PTRACE: "/proc/PID of containers: their namespaces, their programs, and the calls that"
        " they are in when a recording begins late",
        Capability.DAC_READ_SEARCH: "of other users' processes /proc/PID/syscall, and programs that only they"
        " may read (the ABI is in the ELF header); the storage of rootless Podman",
    }
)
"""Each with what needs it, found by trial: docs/security.md."""

OF_NETLINK: Mapping[Capability, str] = MappingProxyType(
    {
        Capability.AUDIT_READ: "denials by the audit log's multicast, where the kernel has no kprobes",
        Capability.AUDIT_CONTROL: "the same: how many records audit has lost",
    }
)
"""Beside `NEEDED` where denials can be had by it alone."""

PARANOID_REASON = (
    "perf_event_open(2), where programs are attached to classic tracepoints (Linux 7) or to the audit log's"
    " end, and kernel.perf_event_paranoid is above 2 (Debian's default is 3)"
)

_SINCE_5_8 = (Capability.BPF, Capability.PERFMON)
"""Before they had capabilities of their own, CAP_SYS_ADMIN stood for both, and it still does."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Privileges:
    """The calling thread's, as the kernel says in /proc; sets of capability numbers."""

    effective: frozenset[int]
    permitted: frozenset[int]
    inheritable: frozenset[int]
    bounding: frozenset[int]
    ambient: frozenset[int]
    no_new_privs: bool


def held() -> Privileges:
    """What the main thread has now (proc(5), status)."""
    fields = dict(line.split(":\t", 1) for line in STATUS.read_text().splitlines() if ":\t" in line)
    sets = {
        name: _numbers(int(fields[name], 16)) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")
    }
    return Privileges(
        effective=sets["CapEff"],
        permitted=sets["CapPrm"],
        inheritable=sets["CapInh"],
        bounding=sets["CapBnd"],
        ambient=sets["CapAmb"],
        no_new_privs=fields["NoNewPrivs"].strip() == "1",
    )


def needed(denials: str = "") -> Mapping[Capability, str]:
    """`NEEDED`, and what cannot be done without here.

    denials: the source of AppArmor's and SELinux's denials that is prepared; empty: none.
    """
    paranoid = int(PARANOID.read_text()) if PARANOID.exists() else 0
    found = {**NEEDED, **(OF_NETLINK if denials == "netlink" else {})}
    if (denials == "audit-log-end" or programs_are_preemptible()) and paranoid > _PARANOID_OF_ADMIN:
        found[Capability.SYS_ADMIN] = PARANOID_REASON
    return MappingProxyType(found)


def drop(keep: Iterable[Capability]) -> tuple[Capability, ...]:
    """Gives up, for this process and all that it starts, what is not in `keep`; returns what is missing.

    Sets no_new_privs, empties the ambient and inheritable sets, and cuts the bounding,
    permitted and effective ones. The bounding set can be cut only with CAP_SETPCAP; without
    it, no_new_privs does the same for programs that are run.
    """
    if len(os.listdir(TASKS)) > 1:
        raise InternalError(
            f"privileges are to be dropped before threads are made, there are {len(os.listdir(TASKS))}:"
            " each thread has its own"
        )
    before = held()
    wanted = frozenset(keep)
    missing = tuple(sorted(wanted - before.permitted))
    kept: frozenset[int] = wanted & before.permitted
    if set(missing) & set(_SINCE_5_8) and Capability.SYS_ADMIN in before.permitted:
        kept |= {Capability.SYS_ADMIN}
        missing = tuple(each for each in missing if each not in _SINCE_5_8)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if Capability.SETPCAP in before.effective:
        for number in range(int(LAST.read_text()) + 1):
            if number not in kept:
                _prctl(_PR_CAPBSET_DROP, number)
    _capset(kept)
    after = held()
    if not after.no_new_privs or after.permitted != kept or after.effective != kept or after.inheritable:
        raise InternalError(f"privileges were dropped and are still there: {after}")
    return missing


def _numbers(bits: int) -> frozenset[int]:
    return frozenset(number for number in range(bits.bit_length()) if bits >> number & 1)


def _prctl(option: int, argument: int) -> None:
    # Unsigned long: a C int as a variadic argument may leave the upper half undefined.
    words = [ctypes.c_ulong(each) for each in (argument, 0, 0, 0)]
    if _LIBC.prctl(option, *words) < 0:
        raise _refused(f"prctl({option}, {argument})")


def _capset(numbers: Iterable[int]) -> None:
    bits = sum(1 << number for number in numbers)
    header = _Header(_VERSION_3, 0)
    data = (_Data * 2)()
    for word, part in enumerate(data):
        part.effective = part.permitted = bits >> 32 * word & 0xFFFFFFFF
    if _LIBC.capset(ctypes.byref(header), ctypes.byref(data)) < 0:
        raise _refused("capset")


def _refused(what: str) -> NotPermitted:
    return NotPermitted(
        f"cannot drop privileges: {what}: {os.strerror(ctypes.get_errno())};"
        " a seccomp filter or a security module of the agent's own container forbids it"
    )
