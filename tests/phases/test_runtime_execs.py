"""Every exec that a runtime does between joining and the entry point is set-up, one kind after the other."""

import concurrent.futures
import os
import subprocess
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
HOOK = calls(Abi.X86_64, "getpgrp")
SETUP = calls(Abi.X86_64, "unshare", "mount", "sendfile", "chroot") | HOOK


@pytest.fixture
def words(built_programs: dict[str, Path], rootfs: Path) -> list[str]:
    """A runtime that execs itself in every way, runs a hook, and then starts `five`."""
    return [str(built_programs["runtime"]), str(rootfs), "/hook", "/five"]


def joined_by_itself(cgroup: Path, words: list[str]) -> None:
    join = 'echo 0 >"$0/cgroup.procs"; exec "$@"'
    subprocess.run(["sh", "-c", join, cgroup, *words], stdin=subprocess.DEVNULL, check=True, timeout=30)


def moved_by_another(cgroup: Path, words: list[str]) -> None:
    begin = 'read -r _; exec "$@"'
    with subprocess.Popen(["sh", "-c", begin, "sh", *words], stdin=subprocess.PIPE) as process:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        process.communicate(b"go\n", timeout=30)
    assert process.returncode == 0


def moved_while_it_runs(cgroup: Path, words: list[str]) -> None:
    with subprocess.Popen(words, stdin=subprocess.DEVNULL) as process:
        # Wherever it is by then. It may be a zombie already: then there is nothing to move.
        if not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            (cgroup / "cgroup.procs").write_text(str(process.pid))
    assert process.returncode == 0


@pytest.mark.parametrize("join", [joined_by_itself, moved_by_another])
def test_first_and_again(watch, container_parent, words, scaled, join):
    """The first in a new cgroup, and the others like an exec into a container."""
    cgroup = container_parent / "one"
    cgroup.mkdir()
    identity = cgroup.stat().st_ino
    for step in range(scaled(100, least=10)):
        join(cgroup, words)
        seen = watch.now(cgroup)
        assert seen.problems(FIVE) == [], step
        assert seen.setup >= SETUP
    cgroup.rmdir()
    assert watch.ended(identity).problems(FIVE) == []


def test_several_at_once(watch, container_parent, words, scaled):
    """Four at a time: neither's execs are taken for another's start."""
    cgroup = container_parent / "one"
    cgroup.mkdir()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: moved_by_another(cgroup, words), range(scaled(200, least=20))))
    assert watch.now(cgroup).problems(FIVE) == []


def test_moved_at_any_moment(watch, container_parent, words, scaled):
    """Moved by another while it runs, before or after any of its steps: the rest of its set-up is apart."""
    cgroup = container_parent / "one"
    cgroup.mkdir()
    joined_by_itself(cgroup, words)
    for _ in range(scaled(200, least=20)):
        moved_while_it_runs(cgroup, words)
    # It may have reached `five` before it was moved, and is then no joiner that starts anything
    seen = watch.now(cgroup)
    assert seen.problems(FIVE) == []
