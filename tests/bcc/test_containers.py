"""Mode container by bcc: the truth, and what libbpf says beside it. Only where the headers allow it."""

import time

import pytest

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.model.abi import Abi
from tests.phases.conftest import container, container_parent, rootfs  # noqa: F401  fixtures
from tests.phases.seen import Seen
from tests.truth import oci
from tests.truth.calls import calls
from tests.truth.programs import EXEC, EXPECTED, rawsys_calls, word

pytestmark = pytest.mark.root

FIVE = EXPECTED["five"] | EXEC
OF_A_RUNTIME = calls(Abi.X86_64, "capset", "pivot_root", "mount")
OWN = calls(Abi.X86_64, "getpgrp", "getsid", "times")
SECONDS = 240.0


class Watched:
    """Every cgroup made below one, by all backends that the kernel can load."""

    def __init__(self, backends, root):
        self.backends = backends
        self.root = root.stat().st_ino
        for backend in backends:
            backend.watch(self.root, WatchRule(SlotMode.MODE_CONTAINER))

    def _ended(self, backend, count):
        end = time.monotonic() + SECONDS
        while True:
            ended = [target for target in backend.targets() if backend.read(target).ended]
            if len(ended) >= count:
                break
            assert time.monotonic() < end, f"{backend.loader}: {len(ended)} of {count} cgroups ended"
            backend.wait(0.1)
        assert len(ended) == count
        found = {}
        for target in ended:
            reading = backend.read(target, final=True)
            backend.release(target)
            found[target.cgroup_id] = Seen.of(reading.calls, reading.ledger)
        return found

    def ended(self, count=1):
        """What each has seen of the cgroups that ended; asserts that all have seen the same."""
        first, *others = (self._ended(backend, count) for backend in self.backends)
        for other in others:
            assert first == other
        return list(first.values())


@pytest.fixture
def watched(bcc, libbpf, unused, container_parent):  # noqa: F811
    """It watches the parent of the test's containers."""
    watched = Watched([bcc, libbpf] if libbpf else [bcc], container_parent)
    yield watched
    for backend in watched.backends:
        backend.unwatch(watched.root)


def check(seen, expected=FIVE):
    assert seen.problems(expected) == []
    assert seen.setup >= OF_A_RUNTIME


@pytest.mark.parametrize("program", ["five", "five32"])
def test_run(program, container, watched, scaled):  # noqa: F811
    """Again and again: always exactly the same workload."""
    for _ in range(scaled(50, least=5)):
        with container(f"/{program}") as it:
            it.run().good()
        (seen,) = watched.ended()
        check(seen, EXPECTED[program] | EXEC)


def test_exec(container, watched):  # noqa: F811
    """An exec's own set-up is apart; what it execs is workload."""
    expected = EXPECTED["signals"] | EXEC | rawsys_calls(OWN)
    with container("/signals", "100000") as it:
        it.create()
        it.start()
        it.wait_for_output("ready")
        for call in sorted(OWN):
            it.exec("/rawsys", word(call)).good()
    (seen,) = watched.ended()
    check(seen, expected)


def test_hooks(container, watched, built_programs):  # noqa: F811
    """What the runtime's hooks call from inside is set-up, with all that they start."""
    create, start = calls(Abi.X86_64, "getpgrp"), calls(Abi.X86_64, "sched_rr_get_interval")
    hooks = {
        "createContainer": [oci.hook(str(built_programs["hook"]), *map(word, create))],
        "startContainer": [oci.hook("/hook", *map(word, start))],
    }
    with container("/five", hooks=hooks) as it:
        it.run().good()
    (seen,) = watched.ended()
    check(seen)
    assert seen.setup >= create | start


def test_a_container_without_an_entry_point(container, watched):  # noqa: F811
    """No exec, so no boundary and no workload."""
    with container("/missing") as it:
        assert it.run().status != 0
    (seen,) = watched.ended()
    assert seen.problems([], no_boundary=1) == []
