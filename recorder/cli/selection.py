"""What to record: the options that select it, of which exactly one is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from recorder.model.errors import UsageError
from recorder.profiles.label import dns_label

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

OPTIONS = {
    "cgroup": ("PATH", "all that runs in this cgroup (below the cgroup v2 mount) and in those below it"),
    "container": ("ID-OR-NAME", "a container: its id, 12 or more characters of it, or its name"),
    "pod": ("NAMESPACE/NAME[/CONTAINER]", "the containers of a pod, or one of them"),
    "unit": ("NAME", "a systemd unit, as nginx.service"),
    "pid": ("PID", "this process, and what it starts from now on"),
}
"""Each option's name, its argument and its help."""

MAX_PID = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """One option of `OPTIONS` with what was given; `parts` of a pod are namespace, name and container."""

    by: str
    value: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """Of a pod: namespace, name, container (empty: all of the pod's)."""
        namespace, name, container = (*self.value.split("/"), "")[:3]
        return namespace, name, container

    @property
    def label(self) -> str:
        """A DNS label for a profile's name."""
        value = self.value.split("/", 1)[1].replace("/", "-") if self.by == "pod" else self.value
        return dns_label(f"pid-{value}" if self.by == "pid" else value)

    def __str__(self) -> str:
        return f"{self.by} {self.value}"


def add_selection(parser: argparse.ArgumentParser, only: Collection[str] = OPTIONS) -> None:
    """Declares the options, or some of them."""
    group = parser.add_argument_group("what to record (exactly one)")
    for name in only:
        argument, text = OPTIONS[name]
        group.add_argument(f"--{name}", metavar=argument, help=text)


def selection(options: argparse.Namespace) -> Selection | None:
    """What was selected; None if nothing was. Raises UsageError for two, or for one that cannot be."""
    given = [(name, value) for name in OPTIONS if (value := getattr(options, name, None)) is not None]
    if not given:
        return None
    if len(given) > 1:
        first, second = (f"--{name}" for name, _ in given[:2])
        raise UsageError(f"{first} and {second}: select by one of them, not by both")
    name, value = given[0]
    if not value.strip():
        raise UsageError(f"--{name}: it is empty; expected is {OPTIONS[name][0]}")
    if name == "pod":
        _check_pod(value)
    if name == "pid" and not (value.isascii() and value.isdigit() and 0 < int(value) <= MAX_PID):
        raise UsageError(f"--pid: {value!r} is no process id: a number above 0")
    return Selection(name, value)


def _check_pod(value: str) -> None:
    parts = value.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UsageError(f"--pod: {value!r} is not NAMESPACE/NAME or NAMESPACE/NAME/CONTAINER")
