"""The agent's memory: every bound, what it costs, and how much of it is in use.

The kernel's part is computed from the maps' sizes. The process's part is a base and so
many bytes for each thing: constants that `benchmarks/agent_memory.py` measures. The table
`BOUNDS` is the source for GetStatus, metrics and docs/limits.md.
"""

from __future__ import annotations

import ctypes
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from recorder.agent.settings import MemorySettings
from recorder.kernel.spec import Bounds, TaskBounds
from recorder.model.errors import BpfLimit, BudgetExceeded, InvalidSettings
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.service.setting import size_text

if TYPE_CHECKING:
    from recorder.kernel.accesses_spec import AccessBounds
    from recorder.kernel.denials_spec import DenialBounds

__all__ = ["BASE_BYTES", "BOUNDS", "Bound", "BoundUse", "Budget", "Use", "bounds_of"]

KIB, MIB = 1 << 10, 1 << 20

POSSIBLE = Path("/sys/devices/system/cpu/possible")
"""Processors, as 0-7 (Documentation/admin-guide/cputopology.rst)."""

BASE_BYTES = 58 * MIB
"""Resident memory of an agent that does nothing: interpreter, grpc, libbpf, what is shared with others; its
connections to a runtime and a collector; its threads."""

PROCESS_CAPTURES = 16
"""Processes that captures select by their ids, at a time."""

CONSTANTS = 16 << 10
"""What both kernel sides keep of constants, each in an array of its own."""

DENIALS_KERNEL_BASE = 256 << 10
"""Of the object of denials: SELinux's objects on their way, a place of work for each processor."""

DENIALS_BASE = 6 * MIB
"""Resident memory of a process that looks for denials, beside the denials: modules, libbpf's object."""

ACCESSES_BASE = 6 * MIB
"""The same of one that sees what containers use, beside the accesses."""

BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Bound:
    """Something that is bounded: `name` is that of its setting in [memory].

    unit: `bytes`, or what is counted. each: bytes of the process's memory for each unit.
    at: what happens to the new one when the bound is reached. shared: the sum over all is
    what is bounded; else the bound holds for each one by itself (its use is the largest).
    """

    name: str
    unit: str
    each: int
    what: str
    at: str
    shared: bool = True


def _table(*bounds: Bound) -> Mapping[str, Bound]:
    return MappingProxyType({each.name: each for each in bounds})


BOUNDS: Mapping[str, Bound] = _table(
    Bound(
        "slots",
        "containers",
        7 * KIB,
        "what is recorded at a time, ended containers whose record is not handed on yet included",
        "a new container is not recorded: `slots_full`; a capture of it is refused (RESOURCE_EXHAUSTED)",
    ),
    Bound(
        "children",
        "cgroups",
        0,
        "cgroups below one recorded one",
        "the child is not recorded: `children_full`",
        shared=False,
    ),
    Bound(
        "joiners",
        "processes",
        0,
        "processes at a time that came into a container and have not called exec",
        "calls may be in the wrong phase: `joiners_full`",
    ),
    Bound(
        "roots",
        "cgroups",
        0,
        "cgroups below which containers appear",
        "containers below the new one are not recorded from their first call: `roots_full`",
    ),
    Bound(
        "processes",
        "processes",
        0,
        "processes that a capture by process follows at a time",
        "what a further one calls is not recorded: `processes_full`",
        shared=False,
    ),
    Bound("ring", BYTES, 0, "the ring of events", "times of first sight are lost: `ring_full`"),
    Bound(
        "containers",
        "containers",
        6 * KIB,
        "containers that are known by name",
        "the new one has no name: it is recorded under its id, and no plan or selection by name finds it",
    ),
    Bound(
        "first_sights",
        "times",
        320,
        "times of first sight that are kept",
        "a new call has no time of first sight; the call itself is in the record",
    ),
    Bound(
        "denials",
        "denials",
        6 * KIB,
        "with `agent.denials`: different denials of AppArmor and SELinux; of one container an eighth, or 64",
        "the further ones of a container are only counted, or not even that: `denials_full`",
    ),
    Bound(
        "accesses",
        "accesses",
        2560,
        "with `agent.accesses`: different files, sockets and the like of all containers, of one a fourth or"
        " 1,024; and as many of containers that have ended, for captures",
        "the further ones of a container are missing: `accesses_full`",
    ),
    Bound(
        "captures",
        "captures",
        10 * KIB,
        "captures at a time, those whose client is away included",
        "a new capture is refused (RESOURCE_EXHAUSTED)",
    ),
    Bound(
        "recordings",
        "recordings",
        2560,
        "recordings in the collector's plan",
        "the plan is refused, and the one before stays",
    ),
    Bound(
        "streams",
        "calls",
        44 * KIB,
        "calls of clients at a time, each on a connection of its own",
        "a new call is refused (RESOURCE_EXHAUSTED)",
    ),
    Bound(
        "queues",
        BYTES,
        2,
        "messages that wait for clients, in all",
        "the next one waits until there is room, and then says all that was seen meanwhile",
    ),
    Bound(
        "message",
        BYTES,
        2,
        "one message to a client, or a plan",
        "a capture whose snapshot is larger is ended (RESOURCE_EXHAUSTED); a larger plan is refused",
        shared=False,
    ),
    Bound(
        "request",
        BYTES,
        0,
        "one request of a client",
        "it is refused (RESOURCE_EXHAUSTED)",
        shared=False,
    ),
    Bound(
        "spool",
        BYTES,
        0,
        "ended records on disk that the collector has not acknowledged, in blocks of 4 KiB",
        "ended records keep their slots, until those are used up as well",
    ),
)
"""All bounds by name. A message counts twice: as it is made, and as it is sent."""


def bounds_of(memory: MemorySettings, *, denials: bool = False) -> Bounds:
    """The kernel side's bounds; InvalidSettings."""
    try:
        return Bounds(
            slots=memory.slots,
            children=memory.children,
            joiners=memory.joiners,
            roots=memory.roots,
            ring_bytes=memory.ring,
            denials=denials,
        )
    except BpfLimit as error:
        raise InvalidSettings(f"[memory] {error}") from error


def denial_bounds_of(memory: MemorySettings) -> DenialBounds:
    """Those of the kernel side that sees what AppArmor and SELinux deny."""
    from recorder.kernel.denials_spec import DenialBounds  # noqa: PLC0415 - who does not look does without

    return DenialBounds(
        denials=memory.denials,
        per_cgroup=min(memory.denials, max(64, memory.denials // 8)),
        cgroups=memory.slots + memory.roots,
    )


def access_bounds_of(memory: MemorySettings) -> AccessBounds:
    """Those of the kernel side that sees what containers use."""
    from recorder.kernel.accesses_spec import agent_bounds  # noqa: PLC0415 - as above

    return agent_bounds(memory.accesses)


def _processors() -> int:
    """That the kernel may ever have: each has a place to work in."""
    return int(re.findall(r"\d+", POSSIBLE.read_text())[-1]) + 1


def _denial_bytes(bounds: DenialBounds) -> int:
    """What its maps take, about: entries, cgroups, and the hashes that find them."""
    from recorder.kernel.denials_layout import Entry, Owner  # noqa: PLC0415 - as above

    entry, owner = ctypes.sizeof(Entry), ctypes.sizeof(Owner)
    found = bounds.denials * (entry + 64 + 40 + 4) + bounds.cgroups * (owner + 64 + 16 + 4)
    return found + DENIALS_KERNEL_BASE + bounds.ring_bytes


def task_bounds_of(memory: MemorySettings, *, denials: bool = False) -> TaskBounds:
    """Those of the kernel side that follows processes, which is there while a capture does."""
    return TaskBounds(slots=PROCESS_CAPTURES, children=memory.processes, denials=denials)


@dataclass(frozen=True, slots=True)
class Budget:
    """What the settings allow: checked by `check`, explained by `explain`.

    denials, accesses: they may be looked for. What that takes is no part of memory.kernel and
    memory.process, but what it is asked for with: it is explained, and always allowed.
    """

    memory: MemorySettings
    denials: bool = False
    accesses: bool = False

    @property
    def kernel(self) -> Mapping[str, int]:
        """Bytes by BPF map, as computed from the bounds."""
        bounds = dict(bounds_of(self.memory, denials=self.denials).kernel_bytes())
        if self.denials:
            bounds["lsm"] = _denial_bytes(denial_bounds_of(self.memory))
        if self.accesses:
            found = access_bounds_of(self.memory).kernel_bytes(self.memory.slots + 1, _processors())
            bounds["accesses"] = sum(found.values())
        processes = sum(task_bounds_of(self.memory, denials=self.denials).kernel_bytes().values())
        return {**bounds, "processes": processes, "constants": CONSTANTS}

    @property
    def more(self) -> Mapping[str, int]:
        """Bytes that denials and accesses take, by `kernel` and `process`."""
        without = Budget(self.memory)
        return {
            what: sum(getattr(self, what).values()) - sum(getattr(without, what).values())
            for what in ("kernel", "process")
        }

    @property
    def process(self) -> Mapping[str, int]:
        """Resident bytes of the process: `base`, and by bound what all that it allows takes."""
        parts = {each.name: self.limit(each.name) * each.each for each in BOUNDS.values() if each.each}
        if self.denials:
            parts["looking"] = DENIALS_BASE
        if self.accesses:
            parts["seeing"] = ACCESSES_BASE
        off = {name for name in ("denials", "accesses") if not getattr(self, name)}
        return {"base": BASE_BYTES, **{name: size for name, size in parts.items() if name not in off}}

    def limit(self, name: str) -> int:
        """A bound's value."""
        off = name in ("denials", "accesses") and not getattr(self, name)
        return 0 if off else int(getattr(self.memory, name))

    def check(self) -> None:
        """Raises BudgetExceeded, with the arithmetic."""
        for what, parts, allowed in self._sides():
            total = sum(parts.values())
            if total > allowed:
                largest = max((name for name in parts if name != "base"), key=lambda name: parts[name])
                raise BudgetExceeded(
                    f"the bounds take {_mib(total)} MiB of {what} memory, and memory.{what} is"
                    f" {_mib(allowed)} MiB: raise it, or lower a bound; the largest is {largest}\n"
                    + self.explain()
                )

    def explain(self) -> str:
        """The arithmetic, one line for each part."""
        lines = []
        for what, parts, allowed in self._sides():
            total = sum(parts.values())
            asked = " and ".join(name for name in ("denials", "accesses") if getattr(self, name))
            more = f", and {_mib(self.more[what])} MiB for {asked}" if asked else ""
            lines.append(f"{what} memory: {_mib(total)} of {_mib(allowed)} MiB (memory.{what}{more})")
            for name, size in sorted(parts.items(), key=lambda part: (-part[1], part[0])):
                lines.append(f"  {name:<15} {_mib(size):>8} MiB{self._factors(what, name)}")
        lines.append(f"on disk: {size_text(self.memory.spool)} (memory.spool)")
        return "\n".join(lines)

    def _sides(self) -> tuple[tuple[str, Mapping[str, int], int], ...]:
        return (
            ("kernel", self.kernel, self.memory.kernel + self.more["kernel"]),
            ("process", self.process, self.memory.process + self.more["process"]),
        )

    def _factors(self, what: str, name: str) -> str:
        if what == "kernel" or name not in BOUNDS:
            return ""
        limit = self.limit(name)
        shown = size_text(limit) if BOUNDS[name].unit == BYTES else f"{limit:,}"
        return f" = {shown} x {BOUNDS[name].each:,}{'' if BOUNDS[name].unit == BYTES else ' bytes'}"


def _mib(size: int) -> str:
    return f"{size / MIB:,.2f}"


@dataclass(frozen=True, slots=True)
class BoundUse:
    """A bound's state at one moment."""

    name: str
    limit: int
    used: int
    refused: int
    unit: str

    def to_message(self) -> pb.Bound:
        """As GetStatus has it."""
        return pb.Bound(
            name=self.name, limit=self.limit, used=self.used, refused=self.refused, unit=self.unit
        )


class Use:
    """How much of each bound is in use, and how often one refused something. For any thread."""

    def __init__(self, budget: Budget) -> None:
        self._limits = {name: budget.limit(name) for name in BOUNDS}
        self._used = dict.fromkeys(BOUNDS, 0)
        self._refused = dict.fromkeys(BOUNDS, 0)
        self._lock = threading.Lock()

    def take(self, name: str, amount: int = 1, *, again: bool = False) -> bool:
        """Room for so much more, and it is taken; or False, nothing is, and the refusal is counted.

        again: it was refused and counted already, and asks once more.
        """
        with self._lock:
            if self._used[name] + amount > self._limits[name]:
                self._refused[name] += not again
                return False
            self._used[name] += amount
            return True

    def give(self, name: str, amount: int = 1) -> None:
        """What was taken is free again; ValueError for more than is in use."""
        with self._lock:
            if amount > self._used[name]:
                raise ValueError(f"{name}: {amount} are given back, {self._used[name]} in use")
            self._used[name] -= amount

    def set(self, name: str, used: int, refused: int | None = None) -> None:
        """What is counted elsewhere, as by the kernel side."""
        with self._lock:
            self._used[name] = used
            if refused is not None:
                self._refused[name] = refused

    def refuse(self, name: str, count: int = 1) -> None:
        """Something found no room where it is not this that decides."""
        with self._lock:
            self._refused[name] += count

    def used(self, name: str) -> int:
        """How much of a bound is in use now."""
        with self._lock:
            return self._used[name]

    def bounds(self) -> tuple[BoundUse, ...]:
        """All of them at one moment, sorted by name."""
        with self._lock:
            return tuple(
                BoundUse(name, self._limits[name], self._used[name], self._refused[name], BOUNDS[name].unit)
                for name in sorted(BOUNDS)
            )
