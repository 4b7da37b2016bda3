"""Denials as a table and as JSON lines: whatever bytes the kernel's names are made of."""

import json

import pytest

from recorder.cli.columns import plain_lines
from recorder.cli.denials_json import objects
from recorder.cli.denials_table import HEAD, rows
from recorder.model.abi import Abi
from recorder.model.denial_text import json_text
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Outcome,
    Phase,
    Pod,
    SightKey,
    Source,
)
from tests.denials_given import REST, apparmor, counted, selinux

MOUNT = 165  # arch/x86/entry/syscalls/syscall_64.tbl
SECOND = 1_000_000_000
BOOT = 1_700_000_000 * SECOND  # 2023-11-14T22:13:20Z
DENIED = CallKey(int(Abi.X86_64), Phase.WORKLOAD, Outcome.DENIED)


def observed(denials, *, numbers=(MOUNT,), comm=b"sh", offset=BOOT):
    return Observation(
        Source("node-a", "boot", 1, 1),
        Identity(name="app", container_id="c1", pod=Pod("shop", "web-1", "uid")),
        calls={DENIED: Numbers.of(numbers)},
        first_sights={SightKey(*DENIED, number): FirstSight(SECOND, comm) for number in numbers},
        denials=denials,
        wall_offset_ns=offset,
    )


def test_a_line_for_each_denial():
    """Calls first; a count where there is one; the last time of it, and whose it was."""
    seen = observed({apparmor(): counted(3, SECOND, 2 * SECOND), REST: counted(9, SECOND, 3 * SECOND)})
    assert [dict(zip(HEAD, each, strict=True)) for each in rows(seen)] == [
        {
            "CONTAINER": "shop/web-1/app",
            "BY": "seccomp",
            "VERDICT": "denied",
            "COUNT": "",
            "WHAT": "mount",
            "OBJECT": "x86_64",
            "OF": "",
            "TASK": "sh",
            "LAST SEEN": "2023-11-14T22:13:21Z",
            "NOTES": "",
        },
        {
            "CONTAINER": "shop/web-1/app",
            "BY": "rest",
            "VERDICT": "rest",
            "COUNT": "9",
            "WHAT": "more-than-are-kept",
            "OBJECT": "",
            "OF": "",
            "TASK": "cat",
            "LAST SEEN": "2023-11-14T22:13:23Z",
            "NOTES": "",
        },
        {
            "CONTAINER": "shop/web-1/app",
            "BY": "apparmor",
            "VERDICT": "denied",
            "COUNT": "3",
            "WHAT": "open(write)",
            "OBJECT": "/etc/shadow",
            "OF": "docker-default",
            "TASK": "cat",
            "LAST SEEN": "2023-11-14T22:13:22Z",
            "NOTES": "",
        },
    ]


NAMES = {
    "every byte": bytes(range(1, 256)),
    "columns": b"a  b \t c",
    "newlines": b"\n\r\n",
    "quotes": b"\"'`",
    "escape codes": b"\x1b[2J\x9b",
    "4,000 characters": b"x" * 4000,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_breaks_a_table(name):
    """A line for each denial, and as many columns in it as there are."""
    seen = observed({apparmor(name): counted(comm=name[:15]), selinux(name): counted()}, comm=name[:15])
    lines = plain_lines(HEAD, list(rows(seen)))
    assert len(lines) == 4
    for each in lines:
        assert each.isprintable()
        assert len([cell for cell in each.split("  ") if cell.strip()]) == len(HEAD)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_breaks_a_json_line(name):
    """Each is one line of ASCII, and an object."""
    seen = observed({apparmor(name): counted(comm=name[:15]), selinux(name): counted()}, comm=name[:15])
    lines = [json_text(each) for each in objects(seen)]
    assert all(each.isascii() and each.isprintable() for each in lines)
    assert [json.loads(each)["kind"] for each in lines] == ["seccomp", "apparmor", "selinux"]


def test_json_says_who_and_when():
    """By hand; without a clock of the node there are no times."""
    seen = observed({apparmor(): counted(3, SECOND, 2 * SECOND)})
    call, denial = objects(seen)
    container = {"node": "node-a", "namespace": "shop", "pod": "web-1", "name": "app", "id": "c1"}
    assert call == {
        "container": container,
        "kind": "seccomp",
        "verdict": "denied",
        "abi": "x86_64",
        "number": MOUNT,
        "syscall": "mount",
        "first": {"comm": "sh", "time": "2023-11-14T22:13:21Z"},
    }
    assert denial["container"] == container
    assert denial["name"] == "/etc/shadow"
    assert denial["count"] == 3
    assert denial["first"] == {"comm": "cat", "pid": 7, "time": "2023-11-14T22:13:21Z"}
    assert denial["last"] == {"comm": "cat", "pid": 8, "time": "2023-11-14T22:13:22Z"}
    assert "time" not in next(objects(observed({}, offset=0)))["first"]
