"""What is to be loaded to watch accesses: sizes, constants, hooks."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from recorder.kernel import accesses_layout as layout
from recorder.kernel.preemption import programs_are_preemptible
from recorder.kernel.spec import hash_bytes, mapped_bytes, object_path
from recorder.model.errors import BpfLimit, UnsupportedKernel

HOOKS: Mapping[str, str] = {
    "on_file_open": "security_file_open",
    "on_file_receive": "security_file_receive",
    "on_exec_begin": "security_bprm_creds_for_exec",
    "on_mmap": "security_mmap_file",
    "on_mprotect": "security_file_mprotect",
    "on_lock": "security_file_lock",
    "on_file_truncate": "security_file_truncate",
    "on_truncate": "security_path_truncate",
    "on_chmod": "security_path_chmod",
    "on_chown": "security_path_chown",
    "on_unlink": "security_path_unlink",
    "on_rmdir": "security_path_rmdir",
    "on_mkdir": "security_path_mkdir",
    "on_mknod": "security_path_mknod",
    "on_symlink": "security_path_symlink",
    "on_link": "security_path_link",
    "on_rename": "security_path_rename",
    "on_socket": "security_socket_create",
    "on_bind": "security_socket_bind",
    "on_listen": "security_socket_listen",
    "on_accept": "security_socket_accept",
    "on_connect": "security_socket_connect",
    "on_send": "security_socket_sendmsg",
    "on_receive": "security_socket_recvmsg",
    "on_unix_connect": "security_unix_stream_connect",
    "on_unix_send": "security_unix_may_send",
    "on_signal": "security_task_kill",
    "on_ptrace": "security_ptrace_access_check",
    "on_traceme": "security_ptrace_traceme",
    "on_capable": "security_capable",
    "on_user_namespace": "security_create_user_ns",
    "on_uring_credentials": "security_uring_override_creds",
    "on_uring_poll": "security_uring_sqpoll",
    "on_uring_command": "security_uring_cmd",
    "on_uring": "security_uring_allowed",
    "on_mount": "security_sb_mount",
    "on_umount": "security_sb_umount",
    "on_pivot_root": "security_sb_pivotroot",
    "on_move_mount": "security_move_mount",
}
"""Programs by the function of the kernel that they are attached to."""

OPTIONAL = frozenset(
    {
        "security_file_truncate",  # 6.2; before it, security_path_truncate is asked
        "security_create_user_ns",  # 6.1
        "security_uring_override_creds",  # 5.16, and with io_uring alone, as the next three
        "security_uring_sqpoll",
        "security_uring_cmd",  # 5.19
        "security_uring_allowed",  # 6.15
    }
)
"""Functions that a kernel may lack, with the first that has them; all others are needed."""

AGAIN = "_again"
"""Ends the name of a program's second, see bpf/accesses.bpf.c."""

_EXEC_END = "on_exec_end"


ACCESSES_DEFAULT = 8192
"""Entries of all targets, unless somebody says otherwise."""

PLACES_MORE = 64
"""That an entry may have two places for a moment, when it is settled."""

SCRATCHES = 3
"""Places to work in of each processor."""

SCRATCH_BYTES = 9208
"""Of each: struct scratch (bpf/access_scratch.bpf.h)."""

HOOKS_MOST = 64
"""Of which each processor counts the programs under way."""

_MAPPED = {
    name: ctypes.sizeof(element)
    for name, element in (
        ("accesses", layout.Entry),
        ("lines", layout.Line),
        ("outcomes", layout.Process),
        ("owners", layout.Owner),
    )
}
HASHED = {"places": 24 + 8, "undecided": 16 + 8, "executions": 8 + 144}
"""Bytes of key and value, each by 8: struct place, struct process, struct execution are in them."""


@dataclass(frozen=True, slots=True)
class AccessBounds:
    """How much memory the kernel side may take.

    accesses: entries of all targets; per_target: of one; lines: of 64 bytes, of all texts, which
    targets get by 64 at a time, one no larger a part of them than of the entries;
    outcomes: processes whose phase is open for a while; executions: execs at a time that may
    start a workload.
    """

    accesses: int = ACCESSES_DEFAULT
    per_target: int = ACCESSES_DEFAULT
    lines: int = 2 * ACCESSES_DEFAULT
    outcomes: int = 1024
    executions: int = 512

    def __post_init__(self) -> None:
        for name in ("accesses", "per_target", "lines", "outcomes", "executions"):
            if getattr(self, name) < 1:
                raise BpfLimit(f"{name}: {getattr(self, name)} is not at least 1")

    @property
    def chunks(self) -> int:
        """Of lines."""
        return -(-self.lines // layout.CHUNK_LINES)

    @property
    def chunks_per_target(self) -> int:
        """The same part of all as of the entries; two texts of the longest fit."""
        share = -(-self.chunks * min(self.per_target, self.accesses) // self.accesses)
        return min(self.chunks, max(2, share))

    def max_entries(self, slots: int) -> Mapping[str, int]:
        """By map; slots: entries of the recorder's `slots`."""
        return {
            "accesses": self.accesses,
            "places": self.accesses + PLACES_MORE,
            "free_accesses": self.accesses,
            "lines": self.chunks * layout.CHUNK_LINES,
            "chunks": self.chunks,
            "free_chunks": self.chunks,
            "outcomes": self.outcomes,
            "free_outcomes": self.outcomes,
            "undecided": self.outcomes,
            "executions": self.executions,
            "owners": slots,
        }

    def kernel_bytes(self, slots: int, processors: int) -> Mapping[str, int]:
        """Bytes by map, as computed. processors: that the kernel may ever have."""
        entries = self.max_entries(slots)
        found = {name: 512 + 4 * number for name, number in entries.items() if name.startswith("free_")}
        found |= {name: mapped_bytes(entries[name] * size) for name, size in _MAPPED.items()}
        found |= {name: hash_bytes(entries[name], size) for name, size in HASHED.items()}
        found["chunks"] = 512 + entries["chunks"] * ctypes.sizeof(layout.Chunk)
        found["counters"] = mapped_bytes(ctypes.sizeof(layout.AccessCounters))
        found["scratch"] = processors * (SCRATCHES * SCRATCH_BYTES + HOOKS_MOST * 8)
        return found


def agent_bounds(accesses: int) -> AccessBounds:
    """Of many targets: none gets more than a quarter of all entries, unless that were few."""
    return AccessBounds(
        accesses=accesses,
        per_target=min(accesses, max(1024, accesses // 4)),
        lines=2 * accesses,
        outcomes=max(64, accesses // 8),
        executions=max(64, accesses // 32),
    )


@dataclass(frozen=True, slots=True)
class AccessesSpec:
    """As ObjectSpec, for this object.

    missing: functions that this kernel does not have; functions: by program, what it is attached to.
    """

    path: Path
    max_entries: Mapping[str, int]
    constants: Mapping[str, int]
    attach: tuple[str, ...]
    control: str
    unused: tuple[str, ...]
    missing: tuple[str, ...]
    bounds: AccessBounds
    functions: Mapping[str, str] = field(default_factory=lambda: HOOKS, repr=False)
    structs: Mapping[str, type[ctypes.Structure]] = field(default_factory=lambda: layout.STRUCTS, repr=False)
    enums: Mapping[str, type[IntEnum]] = field(default_factory=lambda: layout.ENUMS, repr=False)

    @property
    def programs(self) -> tuple[str, ...]:
        """All that are used."""
        return (*self.attach, self.control)


def accesses_spec(
    bounds: AccessBounds,
    slots: int,
    set_shift: int,
    has_function: Callable[[str], bool],
    *,
    path: Path | None = None,
    seed: int | None = None,
    preemptible: bool | None = None,
) -> AccessesSpec:
    """The watch of accesses beside a recorder of calls.

    slots and set_shift: of that recorder; has_function: whether the kernel has one of this name;
    seed: 64 bits of the hash, None for random ones; preemptible: as for syscalls_spec, each program is
    attached twice then.

    Raises UnsupportedKernel if the kernel lacks a function without which a record would not be whole.
    """
    number = secrets.randbits(64) if seed is None else seed
    missing = tuple(function for function in HOOKS.values() if not has_function(function))
    needed = sorted(set(missing) - OPTIONAL)
    if needed:
        raise UnsupportedKernel(
            f"the kernel has no {', '.join(needed)}, where accesses are seen: boot one that was built "
            "with CONFIG_SECURITY, CONFIG_SECURITY_NETWORK and CONFIG_SECURITY_PATH"
        )
    if preemptible is None:
        preemptible = programs_are_preemptible()
    every = (_EXEC_END, *HOOKS)
    used = (_EXEC_END, *(name for name, function in HOOKS.items() if function not in missing))
    attach = (*used, *(name + AGAIN for name in used)) if preemptible else used
    return AccessesSpec(
        path=path or object_path("accesses.bpf.o"),
        max_entries=bounds.max_entries(slots),
        constants={
            "max_accesses": bounds.accesses,
            "max_accesses_of_target": bounds.per_target,
            "max_chunks": bounds.chunks,
            "max_chunks_of_target": bounds.chunks_per_target,
            "max_outcomes": bounds.outcomes,
            "twice": int(preemptible),
            "seed_low": number & 0xFFFFFFFF,
            "seed_high": number >> 32,
            "set_shift": set_shift,
        },
        attach=attach,
        control="control",
        unused=tuple(name for name in (*every, *(name + AGAIN for name in every)) if name not in attach),
        missing=missing,
        bounds=bounds,
    )
