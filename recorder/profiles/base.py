"""The base: which runtime's own calls a profile allows besides the record's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from recorder.model.errors import UsageError
from recorder.profiles.base_sets import BASE_SETS

__all__ = ["BASES", "CHOICES", "NO_BASE", "Base", "resolve_base"]


@dataclass(frozen=True, slots=True)
class Base:
    """A runtime's own calls, in its native ABI; `name` is what annotations show."""

    name: str
    names: frozenset[str] = frozenset()


def _united(name: str, runtimes: Iterable[str]) -> Base:
    wanted = tuple(runtimes)
    sets = (each.names for each in BASE_SETS.values() if each.runtime in wanted)
    return Base(name, frozenset[str]().union(*sets))


NO_BASE = Base("none")
BASES = (*BASE_SETS,)
"""The named sets, each of one runtime from one version on."""
CHOICES = ("auto", "none", "runc", "crun", *BASES)
"""What `resolve_base` takes; besides a runtime with any version, as `runc-1.1.12`."""

_NEW_RUNC_PATCH = {(1, 2): 8, (1, 3): 3}
"""From which patch on a minor version opens /proc by openat2 (fixes of November 2025)."""


def resolve_base(choice: str, runtime: str = "", version: str = "") -> Base:
    """Return the base for a choice of `CHOICES`, or a runtime with a version.

    `auto` is the set of the runtime and version (as `runc` and `1.1.5+ds1`, or a
    path; empty: not known): all versions of that runtime if only the version is
    not known, runc and crun together if the runtime has no set. `runc` and `crun`
    unite their versions. UsageError for another choice.
    """
    if choice == "none":
        return NO_BASE
    if choice == "auto":
        name = _runtime_name(runtime)
        return _of_version(name, version) if name else _united("runc+crun", ("runc", "crun"))
    if choice in ("runc", "crun"):
        return _united(choice, (choice,))
    if choice in BASE_SETS:
        return Base(choice, BASE_SETS[choice].names)
    name, _, version = choice.partition("-")
    if name in ("runc", "crun") and _parsed(version):
        return _of_version(name, version)
    raise UsageError(
        f"there is no base {choice!r}; use one of {', '.join(CHOICES)}, or a version as runc-1.1.12"
    )


def _runtime_name(runtime: str) -> str:
    """Return runc or crun from a name, a path or a containerd runtime type; empty for another."""
    words = re.split(r"[^a-z0-9]+", runtime.lower())
    return next((word for word in reversed(words) if word in ("runc", "crun")), "")


def _parsed(version: str) -> tuple[int, int, int | None] | None:
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if found is None:
        return None
    major, minor, patch = found.groups()
    return int(major), int(minor), None if patch is None else int(patch)


def _of_version(runtime: str, version: str) -> Base:
    parsed = _parsed(version)
    if parsed is None:
        return _united(runtime, (runtime,))
    if runtime == "crun":
        return Base("crun-1", BASE_SETS["crun-1"].names)
    major, minor, patch = parsed
    if (major, minor) in _NEW_RUNC_PATCH:
        # "1.3" alone may be any patch: the newer set holds the older one.
        new = patch is None or patch >= _NEW_RUNC_PATCH[major, minor]
    else:
        new = (major, minor) > (1, 3)
    name = "runc-1.3.3" if new else "runc-1.1"
    return Base(name, BASE_SETS[name].names)
