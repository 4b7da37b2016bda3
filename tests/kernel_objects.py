"""BPF programs, maps and links of the machine by id, and who holds them: by bpftool and /proc."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


class KernelObject(NamedTuple):
    """kind: `prog`, `map` or `link`."""

    kind: str
    id: int


def _shown(kind: str) -> list[dict[str, Any]]:
    for _ in range(50):
        command = ["bpftool", "-j", kind, "show"]
        shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        # It ends in the middle when an object goes while it looks: then it is asked again.
        if shown.returncode == 0:
            listed: list[dict[str, Any]] = json.loads(shown.stdout or "[]")
            return listed
    raise AssertionError(f"{' '.join(command)}: {shown.stdout[-200:]}{shown.stderr}")


def recursion_misses(programs: frozenset[int]) -> int:
    """Runs of these programs that the kernel skipped, as bpftool shows them."""
    return sum(each.get("recursion_misses", 0) for each in _shown("prog") if each["id"] in programs)


def existing() -> frozenset[KernelObject]:
    """Everything that bpftool shows."""
    return frozenset(
        KernelObject(kind, each["id"])
        for kind in ("prog", "map", "link")
        for each in _shown(kind)
        if "id" in each
    )


def in_use() -> frozenset[KernelObject]:
    """Programs, links, and the maps that a program refers to: what pins of programs and links keep alive."""
    maps = {number for each in _shown("prog") for number in each.get("map_ids", ())}
    return frozenset(each for each in existing() if each.kind != "map" or each.id in maps)


def held_by(pid: int) -> frozenset[KernelObject]:
    """What a process has file descriptors of (proc(5): prog_id, map_id and link_id in fdinfo)."""
    found = set()
    for lines in _fdinfo(pid):
        kinds = {key.removesuffix("_id"): value for key, value in lines.items() if key.endswith("_id")}
        # A link's fdinfo has its program's id too.
        for kind in ("link", "map", "prog"):
            if kind in kinds:
                found.add(KernelObject(kind, int(kinds[kind])))
                break
    return frozenset(found)


def _fdinfo(pid: int) -> Iterator[dict[str, str]]:
    folder = f"/proc/{pid}/fdinfo"
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            with contextlib.suppress(OSError), open(f"{folder}/{name}") as file:
                yield dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)


def memlock(pid: int) -> dict[int, int]:
    """Bytes that the kernel charges for each map that a process holds, by the map's id."""
    return {
        int(lines["map_id"]): int(lines["memlock"])
        for lines in _fdinfo(pid)
        if "map_id" in lines and "memlock" in lines
    }


def unowned() -> frozenset[KernelObject]:
    """What exists and no process has a descriptor of: kept by a pin, or left over."""
    there = existing()
    held = frozenset[KernelObject]().union(
        *(held_by(int(pid)) for pid in os.listdir("/proc") if pid.isdigit())
    )
    return there - held


def _until_none(found: Callable[[], frozenset[KernelObject]], seconds: float) -> frozenset[KernelObject]:
    """The last answer of `found`, asked until it is empty: the kernel frees some while after the last use."""
    deadline = time.monotonic() + seconds
    while (left := found()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def left_of(objects: frozenset[KernelObject], seconds: float = 20) -> frozenset[KernelObject]:
    """Which of these are still there after a bounded wait; empty as it should be."""
    return _until_none(lambda: objects & existing(), seconds)


def new_unowned(before: frozenset[KernelObject], seconds: float = 20) -> frozenset[KernelObject]:
    """What is unowned and was not before, after a bounded wait; empty as it should be."""
    return _until_none(lambda: unowned() - before, seconds)
