"""Backends that look for denied calls."""

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from tests.denials.filtered import PREEMPTIBLE, Seen, results
from tests.exactness.same_run import JOIN


@pytest.fixture(scope="package", params=PREEMPTIBLE, ids=str)
def backend(request: pytest.FixtureRequest) -> Iterator[LibbpfBackend]:
    """With the programs for kernels as they were, and with those for kernels that preempt programs."""
    made = LibbpfBackend(syscalls_spec(Bounds(denials=True), preemptible=request.param))
    yield made
    made.close()


@pytest.fixture
def run(
    backend: LibbpfBackend, scratch_cgroup: Callable[..., Path], built_programs: dict[str, Path]
) -> Callable[..., tuple[Seen, dict[str, int], int]]:
    """`run(rules, calls, before="")`: `filtered` in a cgroup; what was seen, its results, its status.

    before: shell code that runs in the cgroup, before the exec.
    """

    def play(rules: str, calls: str, before: str = "") -> tuple[Seen, dict[str, int], int]:
        cgroup = scratch_cgroup()
        target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
        words = [built_programs["filtered"], *rules.split(), "--", *calls.split()]
        with Popen(["sh", "-c", before + JOIN, cgroup, *words], stdout=PIPE, text=True) as process:
            output, _ = process.communicate(timeout=60)
        backend.drop(target)
        reading = backend.read(target, final=True)
        backend.release(target)
        assert dict((reading.ledger + backend.ledger()).counts) == {}
        return Seen.of(reading), results(output.splitlines()), process.returncode

    return play
