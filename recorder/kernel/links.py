"""What attaches programs: links, held by this process, by pins, or both.

`bpf_link_update` gives EINVAL on typed raw tracepoints, so an upgrade attaches anew and
then removes the old links: both run for a moment, which is safe since every write of a
program is an idempotent OR.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from recorder.kernel.libbpf import Libbpf, reason
from recorder.model.errors import BpfLoadError

Opener = Callable[[int], int]


class Links:
    """The links of some programs, attached in the given order and detached in the reverse one.

    folder: where they are pinned; None if they end with this process. openers: by program,
    what attaches it and returns a descriptor, or a negative errno; without one it is
    attached to its typed raw tracepoint.
    """

    def __init__(
        self,
        libbpf: Libbpf,
        programs: Mapping[str, int],
        order: Sequence[str],
        folder: Path | None = None,
        openers: Mapping[str, Opener] | None = None,
    ) -> None:
        self._libbpf = libbpf
        self._programs = programs
        self._order = order
        self._folder = folder
        self._openers = openers or {}
        self._fds: dict[str, int] = {}
        self._unwanted: set[str] = set()
        if folder:
            self._adopt(folder)

    def _adopt(self, folder: Path) -> None:
        for name in self._order:
            fd = self._libbpf.bpf_obj_get(os.fsencode(folder / name))
            if fd >= 0:
                self._fds[name] = fd

    @property
    def any(self) -> bool:
        """Whether at least one is attached."""
        return bool(self._fds)

    def attached(self, name: str) -> bool:
        """Whether this program is."""
        return name in self._fds

    def want(self, name: str, wanted: bool) -> None:
        """Whether `attach` attaches this program; one that is not wanted any more is detached."""
        if wanted:
            self._unwanted.discard(name)
        else:
            self._unwanted.add(name)
            self._detach(name)

    def attach(self) -> None:
        """Attaches what is wanted and is not yet; of what cannot be nothing stays. Raises BpfLoadError."""
        try:
            for name in self._order:
                if name not in self._fds and name not in self._unwanted:
                    self._attach(name)
        except BpfLoadError:
            self.detach()
            raise

    def _attach(self, name: str) -> None:
        program = self._programs[name]
        opener = self._openers.get(name)
        # A typed raw tracepoint (tp_btf) knows its event; a name is for untyped ones.
        fd: int = opener(program) if opener else self._libbpf.bpf_raw_tracepoint_open(None, program)
        if fd < 0:
            raise BpfLoadError(f"cannot attach {name}: {reason(fd)}\n{self._libbpf.log()}".rstrip())
        self._fds[name] = fd
        if self._folder:
            self._pin(name, self._folder)

    def _pin(self, name: str, folder: Path) -> None:
        code = self._libbpf.bpf_obj_pin(self._fds[name], os.fsencode(folder / name))
        if code < 0:
            raise BpfLoadError(f"cannot pin the link of {name} at {folder / name}: {reason(code)}")

    def pin(self, folder: Path) -> None:
        """Lets them outlive this process, and those that are attached later too. Raises BpfLoadError."""
        self._folder = folder
        for name in self._fds:
            self._pin(name, folder)

    def detach(self) -> None:
        """Ends them all, pinned or not; may be repeated."""
        for name in reversed(self._order):
            self._detach(name)

    def _detach(self, name: str) -> None:
        fd = self._fds.pop(name, None)
        if fd is None:
            return
        if self._folder:
            (self._folder / name).unlink(missing_ok=True)
        os.close(fd)

    def close(self) -> None:
        """Forgets them: those that are pinned go on, the others end."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()
