"""The programs for kernels that may preempt them see the same as the others, on any kernel."""

import contextlib
import subprocess

import pytest

from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from tests.exactness.same_run import JOIN
from tests.phases.seen import Seen
from tests.truth import programs

pytestmark = pytest.mark.root


@pytest.mark.parametrize("name", sorted(programs.EXPECTED))
def test_classic_tracepoints_give_the_calls_of_the_source(name, built_programs, scratch_cgroup):
    cgroup = scratch_cgroup()
    with contextlib.closing(LibbpfBackend(syscalls_spec(Bounds(), preemptible=True))) as backend:
        target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
        subprocess.run(["sh", "-c", JOIN, cgroup, built_programs[name]], check=True, timeout=30)
        backend.drop(target)
        reading = backend.read(target, final=True)
        ledger = reading.ledger + backend.ledger()
    seen = Seen.of(reading.calls, ledger)
    assert (seen.workload, dict(seen.ledger.counts)) == (programs.EXPECTED[name] | programs.EXEC, {})
