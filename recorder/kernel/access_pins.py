"""The object that watches accesses, as another process pinned it."""

from __future__ import annotations

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
            # first: another layout may have other maps
            counters = self.counters(AccessCounters, LAYOUT_VERSION)
            self.open_maps(spec.max_entries)
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
