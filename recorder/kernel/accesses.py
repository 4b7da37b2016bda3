"""Watching what targets use: loads bpf/accesses.bpf.c beside a recorder of calls, and reads its entries.

All is read from shared memory, and nothing is drained: see SharedValue. What changes an element of a map
goes through the control program.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from recorder.kernel import pins
from recorder.kernel.access_entries import AccessEntries, AccessLosses, AccessReading
from recorder.kernel.access_pins import AdoptedAccesses
from recorder.kernel.accesses_layout import AccessOp
from recorder.kernel.accesses_spec import AGAIN, AccessBounds, AccessesSpec, accesses_spec
from recorder.kernel.backend import Target
from recorder.kernel.control import run_control
from recorder.kernel.functions import KernelFunctions
from recorder.kernel.info import map_info, program_info, program_runs
from recorder.kernel.libbpf import Libbpf
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.links import Links
from recorder.kernel.loaded import LoadedObject
from recorder.kernel.quiescence import wait_for_runs
from recorder.model.errors import BpfLoadError, NotPermitted, UnsupportedKernel

__all__ = ["AccessLosses", "AccessReading", "AccessWatch"]

_OPEN_NS = 1_000_000_000
"""How long a phase is open that no exec may make set-up: PENDING_NS of syscalls.bpf.c."""
_MOMENT = 0.001
"""Seconds: until it is looked again whether a run that was preempted is over."""
_SETTLED_PART = 1 / 32
"""Of the places for processes whose phase was open that one target may use up before it is settled."""


class AccessWatch:
    """Sees what the targets of a recorder of calls use, between attach and detach. Safe between threads.

    Loads its object, or takes over the one that is pinned in `adopt`. To be closed before that recorder,
    whose maps tell whose a task is and in which phase; which of the two is attached first does not matter.
    Every target is watched from its first access on, until it is dropped.

    Raises what LoadedObject, KernelFunctions and accesses_spec raise; PinMismatch, also for what
    is pinned beside another recorder.
    """

    def __init__(
        self, backend: LibbpfBackend, bounds: AccessBounds | None = None, *, adopt: Path | None = None
    ) -> None:
        self._libbpf = Libbpf()
        self._backend = backend
        self._lock = threading.RLock()
        functions = KernelFunctions(self._libbpf)
        try:
            self.spec: AccessesSpec = accesses_spec(
                bounds or AccessBounds(), backend.slot_count, backend.set_shift, functions.has
            )
        finally:
            functions.close()
        bounds = self.spec.bounds
        shared = backend.shared_maps()
        slots = map_info(self._libbpf, shared["slots"]).id
        self._object: LoadedObject | AdoptedAccesses
        with contextlib.ExitStack() as undo:
            if adopt:
                self._object = AdoptedAccesses(self._libbpf, self.spec, adopt, slots)
            else:
                self._object = self._loaded(shared)
            undo.callback(self._object.close)
            self._maps = self._object.map_fds()
            self._programs = self._object.program_fds()
            folder = adopt / pins.LINKS if adopt else None
            self._links = Links(self._libbpf, self._programs, self.spec.attach, folder)
            undo.callback(self._links.close)
            self._entries = AccessEntries(self._maps, self.spec)
            undo.callback(self._entries.close)
            if not adopt:
                self._control(AccessOp.ACCESS_OPEN, slots)
            elif self._links.any:
                # Whole already, unless who pinned it was killed in the middle of attaching.
                self.attach()
            self._undo = undo.pop_all()
        if adopt:
            self.sweep()

    def _loaded(self, shared: Mapping[str, int]) -> LoadedObject:
        try:
            return LoadedObject(self._libbpf, self.spec, shared)
        except NotPermitted as error:
            if os.geteuid() != 0:
                raise
            # It did permit the recorder of calls.
            raise UnsupportedKernel(
                "the kernel does not permit programs at its security functions (fentry), by which accesses "
                f"are seen: boot one that does, outside a sandbox and without lockdown\n{error}"
            ) from error

    def _control(self, op: AccessOp, *arguments: int) -> int:
        return run_control(self._libbpf, self._programs[self.spec.control], op, *arguments)

    def _of(self, op: AccessOp, target: Target, *arguments: int) -> int:
        return self._control(op, target.slot, target.generation, *arguments)

    def _wait(self, *owners: tuple[int, int]) -> None:
        """For all runs that began before, of these slots' generations."""
        wait_for_runs()
        for slot, generation in owners:
            while self._control(AccessOp.ACCESS_RUNS, slot, generation):
                time.sleep(_MOMENT)

    # --- attaching

    def check(self) -> None:
        """Attaches one program for a moment. Raises UnsupportedKernel where the kernel cannot."""
        with self._lock:
            if not self._links.any:
                name = next(name for name in self.spec.attach if name in self.spec.functions)
                links = Links(self._libbpf, self._programs, [name])
                self._attach(links)
                links.detach()

    @staticmethod
    def _attach(links: Links) -> None:
        try:
            links.attach()
        except BpfLoadError as error:
            raise UnsupportedKernel(
                "the kernel cannot attach programs to its security functions, by which accesses are seen: "
                "boot one that was built with CONFIG_FUNCTION_TRACER, CONFIG_DYNAMIC_FTRACE and "
                f"CONFIG_DEBUG_INFO_BTF, on x86-64 or arm64\n{error}"
            ) from error

    @property
    def attached(self) -> bool:
        """Whether any program is."""
        return self._links.any

    def attach(self) -> None:
        """From the return of this on, accesses are seen. Raises UnsupportedKernel; then none is.

        Needs no privilege but to use bpf(2); may be repeated.
        """
        with self._lock:
            self._attach(self._links)

    def detach(self) -> None:
        """What was seen can still be read; may be repeated."""
        with self._lock:
            self._links.detach()

    # --- of one target

    def drop(self, *targets: Target) -> None:
        """Nothing more is taken of them after the return; waits milliseconds, once. May be repeated."""
        with self._lock:
            if dropped := [target for target in targets if self._of(AccessOp.ACCESS_DROP, target)]:
                self._wait(*((target.slot, target.generation) for target in dropped))

    def release(self, target: Target) -> None:
        """Gives back what a dropped target has; to be done before its slot is given back.

        It is not watched any more, however long it lives. Does nothing for one that was not dropped.
        """
        with self._lock:
            if self._entries.dropped(target):
                self._of(AccessOp.ACCESS_RELEASE, target)

    def watch(self, target: Target) -> None:
        """One that was dropped is watched again from now on."""
        with self._lock:
            self._of(AccessOp.ACCESS_WATCH, target)

    def changes(self, target: Target) -> int:
        """Another number than before, whenever reading the target would give more."""
        if self._entries.any_open(target):
            with self._lock:
                self._decide(target)
        return self._entries.changes(target)

    def read(self, target: Target, *, after: int = 0, final: bool = False) -> AccessReading:
        """All so far, or what is new since the reading with this cursor and maybe more.

        final: what a process used whose phase is open counts as workload; else it is left out until it
        is known, so that nothing that was read once changes its phase.
        """
        with self._lock:
            if not final:
                self._decide(target)
                if self._entries.decided(target) > _SETTLED_PART:
                    self._settle(target)
            return self._entries.read(target, after, final=final)

    def losses(self, target: Target) -> AccessLosses:
        """So far."""
        return self._entries.losses(target)

    # --- processes whose phase was open

    def _decide(self, target: Target) -> None:
        """What is known by now of who came a while ago."""
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - _OPEN_NS
        self._of(AccessOp.ACCESS_DECIDE, target, before)

    def _settle(self, target: Target) -> None:
        """Entries of processes become those of everybody, before there are too many.

        Runs from before the first wait may add to entries, those from before the second look at them.
        """
        self._of(AccessOp.ACCESS_MARK, target)
        self._wait((target.slot, target.generation))
        self._of(AccessOp.ACCESS_SETTLE, target)
        self._wait((target.slot, target.generation))
        self._of(AccessOp.ACCESS_TIDY, target)

    # --- of all targets

    def sweep(self) -> None:
        """Gives back what belongs to no target of the recorder any more, as after a kill in between."""
        with self._lock:
            found = self._entries.owners()
            # Afterwards: a target may begin meanwhile.
            strays = found - {(target.slot, target.generation) for target in self._backend.targets()}
            if strays:
                self._wait(*strays)
            for slot, generation in strays:
                self._control(AccessOp.ACCESS_RELEASE, slot, generation)

    def use(self) -> Mapping[str, tuple[int, int]]:
        """Entries and lines of text: how many are in use, and how often one was refused so far."""
        return self._entries.use()

    def missed(self) -> int:
        """Runs, for any target or none, that found no place to work in, or that the kernel skipped.

        Where programs are attached twice, those that both skipped: what the first skipped, less what
        the second did meanwhile.
        """
        skipped: int = sum(
            program_info(self._libbpf, self._programs[name]).missed
            for name in self.spec.attach
            if not name.endswith(AGAIN)
        )
        busy, substituted = self._entries.unseen()
        return busy + max(0, skipped - substituted)

    def runs(self) -> Mapping[str, tuple[int, int]]:
        """By program, ns and how often it ran; only while kernel.bpf_stats_enabled is set."""
        return program_runs(self._libbpf, {name: self._programs[name] for name in self.spec.attach})

    # --- its life

    def pin(self, folder: Path) -> None:
        """Lets it outlive this process. Raises BpfLoadError; then nothing is pinned."""
        with self._lock:
            pins.pin_all(self._libbpf, folder, self._maps, self._programs, self._links)

    def close(self) -> None:
        """Ends it, but for what is pinned; may be repeated."""
        self._links.close()
        self._undo.close()
