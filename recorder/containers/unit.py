"""systemd units by their names: where their cgroups are, or will be (systemd.unit(5), systemd.slice(5))."""

from __future__ import annotations

import subprocess
from pathlib import Path

from recorder.containers.cgroup import Cgroup
from recorder.containers.place import unit_of
from recorder.containers.root import MAX_PREFIX, WatchRoot
from recorder.model.errors import UsageError

TYPES = ("service", "scope", "socket", "mount", "swap")
"""The types of units that have processes of their own."""

_DEADLINE = 10.0  # seconds for systemctl


def unit_name(text: str) -> str:
    """A unit's whole name, a service's without its type as for systemctl. Raises UsageError."""
    name = text if "." in text else f"{text}.service"
    kind = name.rpartition(".")[2]
    if kind == "slice":
        raise UsageError(f"--unit: {name} is a slice of several units; record it by --cgroup")
    if kind not in TYPES or "/" in name:
        raise UsageError(f"--unit: {name!r} is no unit with processes; those are {', '.join(TYPES)}")
    return name


def unit_cgroup(mount: Path, unit: str) -> Cgroup | None:
    """Its cgroup, if it is there; that of the first user whose manager has one of the name."""
    return next((each for each in Cgroup(mount, mount).descendants() if unit_of(each.name) == unit), None)


def slice_of(unit: str) -> str:
    """The slice that systemd has for it, or would have: instances of a template share one of their own."""
    try:
        said = subprocess.run(
            ["systemctl", "show", "--property=Slice", "--value", "--", unit],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_DEADLINE,
            check=False,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    if said.endswith(".slice"):
        return said
    template = unit.partition("@")[0] if "@" in unit else ""
    # systemd's escape of a dash, which would mean a slice in a slice
    escaped = template.replace("-", "\\x2d")
    return f"system-{escaped}.slice" if template else "system.slice"


def slice_parts(name: str) -> list[str]:
    """The directories from the outermost slice to this one; none: the root."""
    words = name.removesuffix(".slice").split("-")
    return ["-".join(words[: end + 1]) + ".slice" for end in range(len(words))] if any(words) else []


def unit_roots(mount: Path, unit: str, slice_name: str) -> list[WatchRoot]:
    """What is to be watched so that the unit's next cgroup is seen when it is made.

    The nearest directory on the way that is there; systemd writes some names with `_` in front.
    """
    way = slice_parts(slice_name)
    there = mount
    while way and (there / way[0]).is_dir():
        there /= way.pop(0)
    path = "/" if there == mount else f"/{there.relative_to(mount)}"
    names = [way[0]] if way else [unit, f"_{unit}"]
    return [WatchRoot(path, len(way) + 1, name.encode()[:MAX_PREFIX].decode(), "exec") for name in names]
