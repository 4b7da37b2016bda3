"""The object that watches accesses, as another process pinned it."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

from recorder.kernel.accesses_layout import (
    LAYOUT_VERSION,
    AccessCounters,
    Chunk,
    Entry,
    Line,
    Owner,
    Process,
)
from recorder.kernel.accesses_spec import AccessesSpec
from recorder.kernel.arrays import SharedArray
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.pins import PinnedObject
from recorder.model.errors import PinMismatch

_VALUES: dict[str, type[ctypes.Structure]] = {
    "accesses": Entry,
    "lines": Line,
    "chunks": Chunk,
    "outcomes": Process,
    "owners": Owner,
}


class AdoptedAccesses(PinnedObject):
    """As AdoptedObject: PinMismatch if it is another layout's, another bound's or not whole.

    slots: the id of the map that tells whose a task is; PinMismatch if it was loaded beside another one.
    """

    def __init__(self, libbpf: Libbpf, spec: AccessesSpec, folder: Path, slots: int) -> None:
        super().__init__(libbpf, folder)
        try:
            counters = self._counters()  # first: another layout may have other maps
            for name, bound in spec.max_entries.items():
                self.open_map(name)
                self.check_bound(name, self.entries(name), bound)
            for name, mirror in _VALUES.items():
                self.check_value(name, mirror)
            self.check_bound("per_target", counters.per_target, spec.bounds.per_target)
            if counters.slots != slots:
                raise PinMismatch(
                    f"what is pinned below {folder} sees accesses of another recorder of calls' targets: "
                    "remove these pins"
                )
            for name in spec.programs:
                self.open_program(name)
        except PinMismatch:
            self.close()
            raise

    def _counters(self) -> AccessCounters:
        fd = self.open_map("counters")
        self.check_value("counters", AccessCounters)
        # Not by bpf(2): what is pinned may be attached, see SharedValue.
        with contextlib.closing(SharedArray(fd, AccessCounters, 1)) as shared:
            counters = shared[0]
        self.check_version(counters.layout, LAYOUT_VERSION)
        return counters
