"""What bcc is to compile and load: the text, defines, programs with their events, maps."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recorder.kernel.headers import Headers, arch, install
from recorder.kernel.layout import SlotMode
from recorder.kernel.spec import PAGE, Bounds, object_path
from recorder.model.errors import MissingHeaders, MissingObject

MAPS = ("slots", "state", "table", "paths", "rules", "joiners", "held", "free_slots", "events")


@dataclass(frozen=True, slots=True)
class Program:
    """A program, its raw tracepoint, and its classic one (`group/event`); '' if it never needs one.

    Raw tracepoints give kernel structures, so without them most programs are on classic ones.
    """

    name: str
    raw: str
    classic: str = ""


# Attached in this order, detached in the reverse one: the first call that is seen has its phase.
PROGRAMS = (
    Program("on_rmdir", "cgroup_rmdir", "cgroup/cgroup_rmdir"),
    Program("on_end", "sched_process_exit", "sched/sched_process_free"),
    Program("on_exec", "sched_process_exec"),
    Program("on_fork", "task_newtask", "task/task_newtask"),
    Program("on_attach", "cgroup_attach_task", "cgroup/cgroup_attach_task"),
    Program("on_mkdir", "cgroup_mkdir", "cgroup/cgroup_mkdir"),
    Program("on_sys_enter", "sys_enter"),
)

_PART = re.compile(r'^#include "(\w+\.bcc\.h)"$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class BccSpec:
    """The source, its sizes, and what it may read.

    structures: the headers are the running kernel's; containers: mode container works.
    """

    source: Path
    structures: bool
    containers: bool
    bounds: Bounds = field(repr=False)

    def text(self) -> str:
        """The program with its parts in the place of their includes. Raises MissingObject."""

        def read(path: Path) -> str:
            try:
                return path.read_text()
            except OSError:
                raise MissingObject(f"{path} is missing; install it with: make bpf") from None

        return _PART.sub(lambda match: read(self.source.parent / match[1]), read(self.source))

    @property
    def events(self) -> Mapping[str, str]:
        """The classic tracepoints of the programs that are on one."""
        return {} if self.structures else {each.name: each.classic for each in PROGRAMS if each.classic}

    @property
    def max_entries(self) -> Mapping[str, int]:
        """By map."""
        bounds = self.bounds
        return {
            "slots": bounds.slots + 1,  # slot 0 is none
            "state": 1,
            # Children twice: those that were there before the target are counted apart.
            "table": bounds.slots * 8 + 2 * bounds.children,
            "paths": bounds.slots + bounds.roots + 2 * bounds.children,
            "rules": bounds.roots + 2,  # 0 is none, and one to change to
            # Members that move between children of a target have entries as well, and so have their children.
            "joiners": bounds.joiners * 4,
            "held": max(bounds.joiners // 4, 1),
            "free_slots": bounds.slots,
            "events": bounds.ring_bytes,
        }

    def defines(self, machine: str) -> list[str]:
        """For the compiler."""
        sizes = {name.upper(): entries for name, entries in self.max_entries.items()}
        ring_pages = sizes.pop("EVENTS") // PAGE
        del sizes["STATE"]
        found = [f"-D{name}={size}" for name, size in sizes.items()]
        found += [f"-DRING_PAGES={ring_pages}", f"-D__TARGET_ARCH_{arch(machine)}"]
        found += ["-DSTRUCTURES"] if self.structures else []
        return found + (["-DCONTAINERS"] if self.containers else [])


def bcc_spec(bounds: Bounds, headers: Headers, source: Path | None = None) -> BccSpec:
    """The recorder of system calls, as far as the headers allow."""
    return BccSpec(source or object_path("bcc/syscalls.bcc.c"), headers.matching, headers.containers, bounds)


def check_mode(mode: SlotMode, spec: BccSpec, headers: Headers) -> None:
    """Raises MissingHeaders for a mode whose phases cannot be told with these headers."""
    if mode != SlotMode.MODE_CONTAINER or spec.containers:
        return
    release = os.uname().release
    if spec.structures:
        raise MissingHeaders(
            "--phases container: the bcc loader can tell a container's set-up from its workload on "
            f"Linux 5.8 to 6.7 only, this is {release}; use --loader libbpf, or --phases exec"
        )
    raise MissingHeaders(
        f"--phases container: the bcc loader needs the headers of the running kernel for it, and has "
        f"{headers}; {install(release)}; or use --phases exec"
    )
