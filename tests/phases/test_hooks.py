"""OCI hooks exec programs inside the container's cgroup and namespaces before the entry point: set-up."""

from pathlib import Path

import pytest

from recorder.model.abi import Abi
from tests.phases.busy import busy_cpus
from tests.truth import oci
from tests.truth.calls import Call, call_number, calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
# Calls that neither runtime makes, so that they are the hooks' wherever they are seen.
CREATE, START = calls(Abi.X86_64, "getpgrp"), calls(Abi.X86_64, "sched_rr_get_interval")
SHELL = calls(Abi.X86_64, "times", "personality", "getpriority")
OUTSIDE = calls(Abi.X86_64, "timer_create", "swapoff")


def words(made: frozenset[Call]) -> list[str]:
    return [word(call) for call in sorted(made)]


def script(rawsys: str) -> str:
    """A shell with children, grandchildren, a pipe and an exec; each program makes calls of its own."""
    times, personality, priority = (
        call_number(Abi.X86_64, name) for name in ("times", "personality", "getpriority")
    )
    return (
        f"cat >/dev/null; {rawsys} {times} | cat; (sh -c '{rawsys} {personality}; true'; true); "
        f"cat /proc/self/stat >/dev/null; exec {rawsys} {priority}"
    )


@pytest.fixture
def hooks(built_programs: dict[str, Path]) -> dict[str, list[dict[str, object]]]:
    """Each kind of hook, with a static program, and with a shell that starts others."""
    hook, shell = str(built_programs["hook"]), script(str(built_programs["rawsys"]))
    made = {
        "createRuntime": [oci.hook(hook, *words(OUTSIDE))],
        "createContainer": [oci.hook(hook, *words(CREATE)), oci.hook("/bin/sh", "-c", shell)],
        "startContainer": [oci.hook("/hook", *words(START)), oci.hook("/bin/sh", "-c", script("/rawsys"))],
        # no poststart: crun 1.8.1 waits its whole timeout for a signal that it misses if the entry point
        # ends at the same time as the hook
        "poststop": [oci.hook(hook, *words(OUTSIDE))],
    }
    for entry in (entry for entries in made.values() for entry in entries):
        entry["timeout"] = 60  # seconds; the CPUs may be busy
    return made


def check(seen, expected=FIVE):
    assert seen.problems(expected) == []
    assert seen.setup >= CREATE | START | SHELL  # the hooks did run inside
    assert not seen.setup & OUTSIDE  # and these outside


def test_run(container, watch, hooks, scaled):
    """`run` with hooks of all kinds."""
    for _ in range(scaled(50, least=5)):
        with container("/five", hooks=hooks) as it:
            it.run().good()
        check(*watch.all_ended(1))


def test_create_and_start(container, watch, hooks, scaled):
    """startContainer hooks run at `start`, long after the runtime created the container."""
    for _ in range(scaled(50, least=5)):
        with container("/five", hooks=hooks) as it:
            it.create()
            before = watch.now(it.cgroup)
            assert before.workload == frozenset()
            assert before.setup >= CREATE
            it.start()
            it.wait()
        check(*watch.all_ended(1))


def test_on_busy_cpus(container, watch, hooks, scaled):
    """The same with every CPU loaded."""
    with busy_cpus():
        for _ in range(scaled(30, least=3)):
            with container("/five", hooks=hooks) as it:
                it.run().good()
            check(*watch.all_ended(1))


def test_a_hook_that_calls_what_the_entry_point_calls_too(container, watch, hooks):
    """The entry point's own calls are in the workload even where a hook made them before."""
    expected = rawsys_calls(CREATE | START) | EXEC
    with container("/rawsys", *words(CREATE | START), hooks=hooks) as it:
        it.run().good()
    check(*watch.all_ended(1), expected=expected)


def test_a_hook_that_unshares_and_a_hook_from_a_memfd(container, watch, built_programs):
    """A hook with a mount namespace of its own, and one that execs itself from memory, are still hooks."""
    hook, memfd_exec = str(built_programs["hook"]), str(built_programs["memfd_exec"])
    after_reading = "cat >/dev/null; exec "
    hooks = {
        "createContainer": [
            oci.hook("/usr/bin/unshare", "-m", hook, *words(CREATE)),
            oci.hook("/bin/sh", "-c", after_reading + memfd_exec),
        ],
        "startContainer": [
            oci.hook("/bin/sh", "-c", after_reading + "/memfd_exec"),
            oci.hook("/hook", *words(START)),
        ],
    }
    with container("/five", hooks=hooks) as it:
        it.run().good()
    (seen,) = watch.all_ended(1)
    assert seen.problems(FIVE) == []
    assert seen.setup >= CREATE | START | calls(Abi.X86_64, "execveat", "memfd_create")


def test_a_hook_that_fails(container, watch, hooks):
    """The runtime gives up: no entry point, no workload, and the ledger says so."""
    hooks["startContainer"] = [oci.hook("/hook", "?")]
    with container("/five", hooks=hooks) as it:
        assert it.run().status != 0
    (seen,) = watch.all_ended(1)
    assert seen.problems([], no_boundary=1) == []
    assert seen.setup >= CREATE
