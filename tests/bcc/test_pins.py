"""What bcc loaded can be pinned: it goes on without the process, and what is not pinned does not."""

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from recorder.kernel import bcc_layout
from recorder.kernel.arrays import SharedArray
from recorder.kernel.bcc_backend import BccBackend
from recorder.kernel.bcc_spec import MAPS, PROGRAMS, bcc_spec
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.spec import Bounds
from recorder.model.errors import BpfLoadError

pytestmark = pytest.mark.root

GETPGRP = 111


def test_a_recording_goes_on_from_its_pins(headers, bpffs, scratch_cgroup, built_programs):
    """Maps, programs and links, by descriptors that came from the compiler's process."""
    cgroup = scratch_cgroup()
    backend = BccBackend(bcc_spec(Bounds(slots=2), headers), headers)
    try:
        target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
        with pytest.raises(BpfLoadError, match="is it on a mounted bpffs"):
            backend.pin(Path(str(cgroup.parent)))
        backend.pin(bpffs / "recorder")
    finally:
        backend.close()
    assert {path.name for path in (bpffs / "recorder/maps").iterdir()} == set(MAPS)
    names = {program.name for program in PROGRAMS}
    assert {path.name for path in (bpffs / "recorder/programs").iterdir()} == names
    assert {path.name for path in (bpffs / "recorder/links").iterdir()} == names
    subprocess.run(
        ["sh", "-c", 'echo 0 >"$0/cgroup.procs"; exec "$1"', cgroup, built_programs["untraced"]], check=True
    )
    library = Libbpf()
    fd = library.bpf_obj_get(str(bpffs / "recorder/maps/slots").encode())
    slots = SharedArray(fd, bcc_layout.Slot, 3)
    try:
        assert slots[target.slot].workload[GETPGRP] == 1
        assert ctypes.sizeof(bcc_layout.Slot) % 8 == 0
    finally:
        slots.close()
        os.close(fd)
