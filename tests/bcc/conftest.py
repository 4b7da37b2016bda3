"""Both loaders side by side on the same runs. bcc compiles for seconds, so one backend serves all tests.

Where the kernel cannot load libbpf's object, bcc is alone, and is compared with the truth only.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from recorder.cli.cgroup_recording import record_cgroup
from recorder.cli.recording import Recording
from recorder.containers.cgroup import find_cgroup
from recorder.kernel.backend import Backend
from recorder.kernel.bcc_backend import BccBackend
from recorder.kernel.bcc_spec import bcc_spec
from recorder.kernel.headers import Headers, find_headers
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model.errors import MissingHeaders, MissingLibrary, NoBtf, UnsupportedKernel
from tests.bcc.seen import Seen


def _containers() -> bool:
    system = os.uname()
    try:
        return find_headers(system.release, system.machine, os.environ).containers
    except MissingHeaders:
        return False


# Elsewhere mode container is refused: test_command.py.
collect_ignore = [] if _containers() else ["test_containers.py"]

BOUNDS = Bounds(slots=64, ring_bytes=1 << 20)


@pytest.fixture(scope="package")
def headers() -> Headers:
    """The headers that the loader takes here; skips where there are none."""
    system = os.uname()
    try:
        return find_headers(system.release, system.machine, os.environ)
    except MissingHeaders as error:
        pytest.skip(str(error))


@pytest.fixture(scope="package")
def bcc(headers: Headers) -> Iterator[BccBackend]:
    """The backend under test; attached while a test records."""
    try:
        backend = BccBackend(bcc_spec(BOUNDS, headers), headers)
    except MissingLibrary as error:
        pytest.skip(str(error))
    yield backend
    backend.close()


@pytest.fixture(scope="package")
def libbpf() -> Iterator[LibbpfBackend | None]:
    """The other one, to compare with; None where the kernel cannot load it."""
    try:
        backend = LibbpfBackend(syscalls_spec(BOUNDS))
    except (NoBtf, UnsupportedKernel):
        yield None
        return
    yield backend
    backend.close()


@pytest.fixture
def unused(bcc: BccBackend) -> Iterator[None]:
    """Whatever a failed test records still is given back after it."""
    yield
    for root in bcc.watched():
        bcc.unwatch(root)
    for target in bcc.targets():
        bcc.drop(target)
        bcc.release(target)


@dataclass(slots=True)
class Pair:
    """One cgroup, recorded by both in mode exec."""

    by_bcc: Recording
    by_libbpf: Recording | None
    structures: bool

    def finish(self, *, by_structures: bool = False) -> Seen:
        """What both saw of the same run.

        by_structures: its set-up shows in kernel structures alone; where bcc cannot read them it saw none.
        """
        by_bcc = Seen.of(self.by_bcc.finish())
        if self.by_libbpf:
            by_libbpf = Seen.of(self.by_libbpf.finish())
            if by_structures and not self.structures:
                by_libbpf = replace(by_libbpf, setup=frozenset())
            assert by_bcc == by_libbpf
        return by_bcc


@pytest.fixture
def pair(
    bcc: BccBackend, libbpf: LibbpfBackend | None, headers: Headers, unused: None
) -> Callable[[Path], Pair]:
    """`pair(cgroup)` begins to record it with both."""

    def begin(cgroup: Path) -> Pair:
        by_bcc = _recording(bcc, cgroup)
        return Pair(by_bcc, _recording(libbpf, cgroup) if libbpf else None, headers.matching)

    return begin


@pytest.fixture
def recording(bcc: BccBackend, unused: None) -> Callable[[Path], Recording]:
    """`recording(cgroup)` begins to record it with bcc alone."""
    return lambda cgroup: _recording(bcc, cgroup)


def _recording(backend: Backend, cgroup: Path) -> Recording:
    return record_cgroup(backend, find_cgroup(str(cgroup)), "exec", "test")
