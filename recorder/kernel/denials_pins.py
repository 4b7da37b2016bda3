"""The object that watches denials, as another process pinned it."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path

from recorder.kernel.arrays import SharedArray
from recorder.kernel.denials_layout import LAYOUT_VERSION, DenialCounters, Entry, Owner
from recorder.kernel.denials_spec import DenialsSpec
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.pins import PinnedObject
from recorder.model.errors import PinMismatch

_VALUES: dict[str, type[ctypes.Structure]] = {"denials": Entry, "owners": Owner}


class AdoptedDenials(PinnedObject):
    """As AdoptedObject: PinMismatch if it is another layout's, another bound's or not whole."""

    def __init__(self, libbpf: Libbpf, spec: DenialsSpec, folder: Path) -> None:
        super().__init__(libbpf, folder)
        try:
            counters = self._counters()  # first: another layout may have other maps
            for name, bound in spec.max_entries.items():
                self.open_map(name)
                self.check_bound(name, self.entries(name), bound)
            for name, mirror in _VALUES.items():
                self.check_value(name, mirror)
            self.check_bound("per_cgroup", counters.per_cgroup, spec.bounds.per_cgroup)
            for name in spec.programs:
                self.open_program(name)
        except PinMismatch:
            self.close()
            raise

    def _counters(self) -> DenialCounters:
        fd = self.open_map("counters")
        self.check_value("counters", DenialCounters)
        # Not by bpf(2): what is pinned may be attached, see SharedValue.
        with contextlib.closing(SharedArray(fd, DenialCounters, 1)) as shared:
            counters = shared[0]
        self.check_version(counters.layout, LAYOUT_VERSION)
        return counters
