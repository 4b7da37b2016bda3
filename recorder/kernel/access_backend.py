"""The recorder of system calls by cgroup with a watch of what is used beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from recorder.kernel.accesses import AccessWatch
from recorder.kernel.accesses_spec import AccessBounds
from recorder.kernel.backend import Reading, Target
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import ObjectSpec
from recorder.model.errors import UnsupportedKernel
from recorder.model.kind import Kind
from recorder.model.ledger import Ledger


class AccessBackend(LibbpfBackend):
    """As LibbpfBackend; a final reading has accesses as well. What was pinned cannot be adopted."""

    def __init__(self, spec: ObjectSpec, bounds: AccessBounds | None = None) -> None:
        super().__init__(spec)
        try:
            self._watch = AccessWatch(self, bounds)
        except BaseException:
            super().close()
            raise

    @contextlib.contextmanager
    def _attached(self) -> Iterator[None]:
        with super()._attached():
            try:
                self._watch.attach()
            except UnsupportedKernel:
                self._detach_if_unused()
                raise
            yield

    def _detach_if_unused(self) -> None:
        with self._lock:
            if not self._in_use():
                self._watch.detach()
            super()._detach_if_unused()

    def read(self, target: Target, *, final: bool = False) -> Reading:
        """As Backend.read."""
        reading = super().read(target, final=final)
        kinds = (*reading.kinds, Kind.ACCESSES)
        if not final:
            return replace(reading, kinds=kinds)
        found = self._watch.read(target, final=True)
        ledger = Ledger(
            {
                "accesses_full": found.losses.refused + found.losses.executions_full,
                "undecided": found.losses.undecided_full,
            }
        )
        return replace(reading, kinds=kinds, accesses=found.accesses, ledger=reading.ledger + ledger)

    def drop(self, *targets: Target) -> None:
        """As SlotBackend.drop."""
        super().drop(*targets)
        self._watch.drop(*targets)

    def release(self, target: Target) -> None:
        """As SlotBackend.release; what it used is given back as well."""
        self._watch.drop(target)  # one that ended by itself was not
        self._watch.release(target)
        super().release(target)

    def ledger(self) -> Ledger:
        """As Backend.ledger."""
        return super().ledger() + Ledger({"program_missed": self._watch.missed()})

    def close(self) -> None:
        """As SlotBackend.close."""
        self._watch.close()
        super().close()
