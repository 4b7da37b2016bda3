"""The object that watches denials, as another process pinned it."""

from __future__ import annotations

import ctypes
from pathlib import Path

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
            # first: another layout may have other maps
            counters = self.counters(DenialCounters, LAYOUT_VERSION)
            self.open_maps(spec.max_entries)
            for name, mirror in _VALUES.items():
                self.check_value(name, mirror)
            self.check_bound("per_cgroup", counters.per_cgroup, spec.bounds.per_cgroup)
            for name in spec.programs:
                self.open_program(name)
        except PinMismatch:
            self.close()
            raise
