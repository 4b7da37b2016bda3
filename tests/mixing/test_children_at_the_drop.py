"""A target makes cgroups below itself while it is dropped: none of them is left in the table."""

import contextlib
import mmap
import os
import time

import pytest

from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from tests.conftest import remove_cgroup
from tests.member import Process
from tests.mixing.table import table_of

pytestmark = pytest.mark.root

MOST = 300  # children that a target may make
ROOM = 1 << 14  # sets: the walk over them takes long enough for children to be made meanwhile


def test_no_child_outlives_its_targets_drop(scaled, scratch_cgroup):
    """Such a child would count for whoever has the slot next."""
    stop = mmap.mmap(-1, mmap.PAGESIZE)
    left = []
    bounds = Bounds(slots=2, children=2 * MOST, table_sets=ROOM)
    with contextlib.closing(LibbpfBackend(syscalls_spec(bounds))) as backend:
        for _ in range(scaled(200, least=20)):
            cgroup = scratch_cgroup()

            def make(cgroup=cgroup):
                for number in range(MOST):
                    (cgroup / f"below-{number}").mkdir()
                    if stop[0]:
                        break
                os._exit(0)

            stop[0] = 0
            target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
            with Process(make) as maker:
                deadline = time.monotonic() + 20
                while not (cgroup / "below-5").exists():
                    assert time.monotonic() < deadline
                backend.drop(target)
                stop[0] = 1
                assert maker.wait() == 0
            assert backend.read(target, final=True).ledger.counts == {}
            backend.release(target)
            left += table_of(backend).ids
            remove_cgroup(cgroup)
    assert left == []
