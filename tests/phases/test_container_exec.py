"""`exec` into a running container: the workload grows by what the exec'd program does, and by no more."""

import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from recorder.model.abi import Abi
from tests.phases.busy import busy_cpus
from tests.phases.recording import recording
from tests.phases.watch import WatchedContainer
from tests.truth.calls import call_number, calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

LONG = "100000"  # ticks of `signals`: it runs until it is killed, so it never calls exit_group
RUNNING = (EXPECTED["signals"] | EXEC) - calls(Abi.X86_64, "exit_group")
EXITS = calls(Abi.X86_64, "exit_group")
# Not among a runtime's own, so that one of them in the workload is the exec'd program's.
OWN = calls(Abi.X86_64, "getpgrp", "getsid", "times", "personality", "sched_rr_get_interval")


@pytest.fixture
def running(container) -> Callable[[], contextlib.AbstractContextManager[WatchedContainer]]:
    """`with running() as it`: a container whose program has made all of its calls but the last."""

    @contextlib.contextmanager
    def start(**more: object) -> Iterator[WatchedContainer]:
        with container("/signals", LONG, **more) as it:
            it.create()
            it.start()
            it.wait_for_output("ready")
            yield it

    return start


def test_one_after_the_other(running, watch, scaled):
    """50 execs, and after each the workload is the container's and all of the exec'd programs' so far."""
    expected = RUNNING
    with running() as it:
        identity = it.cgroup.stat().st_ino
        for step, call in enumerate(sorted(OWN)[step % len(OWN)] for step in range(scaled(50, least=10))):
            assert it.exec("/rawsys", word(call)).good().stdout == ""
            expected |= {call} | EXITS
            assert watch.now(it.cgroup).problems(expected) == [], step
    assert watch.ended(identity).problems(expected) == []


def test_on_busy_cpus(running, watch, scaled):
    """The same with every CPU loaded, which gives the runtime time to run before its move is reported."""
    expected = RUNNING | EXPECTED["five"]
    with running() as it, busy_cpus():
        for step in range(scaled(50, least=10)):
            it.exec("/five").good()
            assert watch.now(it.cgroup).problems(expected) == [], step


def test_several_at_once(running, watch, scaled):
    """Four at a time into the same container: no runtime's thread is taken for another's program."""
    with running() as it:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            programs = [call for _ in range(scaled(20, least=4)) for call in OWN]
            for ended in pool.map(lambda call: it.exec("/rawsys", word(call)), programs):
                ended.good()
        assert watch.now(it.cgroup).problems(RUNNING | rawsys_calls(OWN)) == []


def test_into_several_containers_at_once(container, watch, scaled):
    """Each container gets its own exec's calls and none of the others'."""
    with contextlib.ExitStack() as stack:
        there = {}
        for call in OWN:
            it = stack.enter_context(container("/signals", LONG))
            it.create()
            it.start()
            there[call] = it
        for it in there.values():
            it.wait_for_output("ready")
        with concurrent.futures.ThreadPoolExecutor(len(OWN)) as pool:
            for _ in range(scaled(20, least=2)):
                for ended in [pool.submit(it.exec, "/rawsys", word(call)) for call, it in there.items()]:
                    ended.result().good()
        for call, it in there.items():
            assert watch.now(it.cgroup).problems(RUNNING | rawsys_calls([call])) == [], call


@pytest.mark.parametrize(
    ("words", "program"),
    [
        ([], ["/five32"]),
        ([], ["/memfd_exec"]),
        ([], ["/script"]),
        (["--user", "65534:65534"], ["/five"]),
        (["--cwd", "/tmp", "--env", "A=B"], ["/five"]),
        (["--detach"], ["/five"]),
    ],
    ids=["i386", "memfd", "script", "another user", "cwd and env", "detached"],
)
def test_kinds_of_exec(running, watch, scaled, words, program):
    """Options and programs that change how the runtime comes to the exec."""
    of_program = {"script": "five"}.get(program[0][1:], program[0][1:])
    with running() as it:
        identity = it.cgroup.stat().st_ino
        for _ in range(scaled(20, least=3)):
            it.call("exec", *words, it.identity, *program).good()
        if "--detach" in words:  # the last one may still run
            deadline = time.monotonic() + 10
            while len(it.cgroup.joinpath("cgroup.procs").read_text().split()) > 1:
                assert time.monotonic() < deadline
                time.sleep(0.005)
    assert watch.ended(identity).problems(RUNNING | EXPECTED[of_program]) == []


def test_a_program_that_is_not_there(running, watch):
    """The runtime joins and fails: no calls of it are the workload's."""
    with running() as it:
        identity = it.cgroup.stat().st_ino
        assert it.exec("/missing").status != 0
        assert watch.now(it.cgroup).problems(RUNNING) == []
    assert watch.ended(identity).problems(RUNNING) == []


def test_before_the_start(container, watch):
    """A container that was not started yet may be entered: the exec'd program is workload all the same."""
    with container("/signals", LONG) as it:
        it.create()
        it.exec("/five").good()
        assert watch.now(it.cgroup).problems(EXPECTED["five"] | EXEC) == []
        it.start()
        it.wait_for_output("ready")
        assert watch.now(it.cgroup).problems(RUNNING | EXPECTED["five"]) == []


def test_by_the_command(running, container, recorder_cli, scaled):
    """`recorder record --cgroup` from before the container's start, with execs into it, until Ctrl-C."""
    with container("/signals", LONG) as it:
        with recording(recorder_cli, it.make_cgroup(), it.folder / "record.json") as recorded:
            it.create()
            it.start()
            it.wait_for_output("ready")
            for _ in range(scaled(20, least=2)):
                it.exec("/rawsys", str(call_number(Abi.X86_64, "getsid"))).good()
            seen = recorded.stop()
        assert seen.problems(RUNNING | EXITS | calls(Abi.X86_64, "getsid")) == []
        assert "verdict: complete" in recorded.stderr
