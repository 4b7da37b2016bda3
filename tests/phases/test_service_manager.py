"""Mode exec, as a service manager starts a unit: its child is moved, and moves itself, before it execs."""

import os
import time
from pathlib import Path

import pytest

from recorder.kernel.layout import SlotMode
from tests.phases.busy import busy_cpus
from tests.phases.watch import Watch
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
JOINS = {"moved": (False, True), "moving": (True, False), "both": (True, True)}


def child(move: Path | None, until: Path, words: list[str]) -> None:
    """What happens between fork and exec: never returns. It works all the time, as nobody waits for it."""
    try:
        if move:
            move.write_text("0")
        while f"{os.getpid()}\n" not in until.read_text():
            os.getpgrp()
            os.getsid(0)
        os.getgroups()
        os.execv(words[0], words)  # noqa: S606  a service manager does this
    finally:
        os._exit(1)


def start(unit: Path, moves_itself: bool, is_moved: bool, words: list[str]) -> None:
    procs = unit / "cgroup.procs"
    pid = os.fork()
    if pid == 0:
        child(procs if moves_itself else None, procs, words)
    if is_moved:
        procs.write_text(str(pid))
    assert os.waitid(os.P_PID, pid, os.WEXITED).si_status == 0


@pytest.mark.parametrize("below", ["the unit itself", "a slice"])
@pytest.mark.parametrize("joins", JOINS)
def test_what_comes_before_the_exec_is_setup(container_parent, built_programs, scaled, below, joins):
    """Whoever moves it, however late the attach event is, and where the parent of its cgroup is recorded."""
    words = [str(built_programs["five"])]
    with Watch(container_parent, SlotMode.MODE_EXEC) as watch, busy_cpus():
        target = container_parent / "one"
        target.mkdir()
        identity = target.stat().st_ino
        unit = target if below == "the unit itself" else target / "unit"
        unit.mkdir(exist_ok=True)
        for _ in range(scaled(500, least=50)):
            start(unit, *JOINS[joins], words)
        for cgroup in dict.fromkeys((unit, target)):
            deadline = time.monotonic() + 10
            while "populated 1" in (cgroup / "cgroup.events").read_text():
                assert time.monotonic() < deadline
            cgroup.rmdir()
        assert watch.ended(identity).problems(FIVE) == []
