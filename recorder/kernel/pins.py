"""What is pinned in bpffs, so that it outlives the process: put there, adopted, removed.

One folder holds maps/NAME, programs/NAME and links/NAME. A link that is pinned keeps its
program attached. `bpf_link_update` gives EINVAL on typed raw tracepoints, so an upgrade
attaches anew, pins, then removes the old folder: both run for a moment, which is safe
since every write is an idempotent OR.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path

from recorder.kernel import layout
from recorder.kernel.info import map_info, program_info
from recorder.kernel.libbpf import Libbpf, reason
from recorder.kernel.spec import ObjectSpec
from recorder.model.errors import BpfLoadError, PinMismatch

_MAPS, _PROGRAMS, _LINKS = "maps", "programs", "links"


def pin(
    libbpf: Libbpf,
    folder: Path,
    maps: Mapping[str, int],
    programs: Mapping[str, int],
    links: Mapping[str, int],
) -> None:
    """Pins all by file descriptor; all or nothing. Raises BpfLoadError.

    The links come last: a folder with all its links is whole.
    """
    try:
        for kind, fds in ((_MAPS, maps), (_PROGRAMS, programs), (_LINKS, links)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for name, fd in fds.items():
                code = libbpf.bpf_obj_pin(fd, os.fsencode(folder / kind / name))
                if code < 0:
                    raise BpfLoadError(
                        f"cannot pin {name} below {folder}: {reason(code)}; is it on a mounted bpffs?"
                    )
    except OSError as error:
        unpin(folder)
        raise BpfLoadError(f"cannot pin below {folder}: {error.strerror}") from error
    except BpfLoadError:
        unpin(folder)
        raise


def unpin(folder: Path) -> bool:
    """Removes the folder: its links first, so that nothing runs on half of it. True if it was there."""
    if not folder.is_dir():
        return False
    for kind in (_LINKS, _PROGRAMS, _MAPS):
        part = folder / kind
        if part.is_dir():
            for entry in sorted(part.iterdir()):
                entry.unlink(missing_ok=True)
            part.rmdir()
    folder.rmdir()
    return True


class AdoptedObject:
    """The maps and programs that another process pinned, opened for a reader.

    Raises PinMismatch if what is there was made by another layout or with other sizes, or
    is not whole; it is then left as it is. The links stay with their pins: they are
    attached already, and `detach` removes the pins.
    """

    def __init__(self, libbpf: Libbpf, spec: ObjectSpec, folder: Path) -> None:
        self._libbpf = libbpf
        self._spec = spec
        self._folder = folder
        self._maps: dict[str, int] = {}
        self._programs: dict[str, int] = {}
        try:
            for name in (*spec.max_entries, "counters"):
                self._maps[name] = self._get(_MAPS, name)
            for name in (*spec.attach, spec.control):
                self._programs[name] = self._get(_PROGRAMS, name)
            self._check()
        except PinMismatch:
            self.close()
            raise

    def _get(self, kind: str, name: str) -> int:
        path = self._folder / kind / name
        fd: int = self._libbpf.bpf_obj_get(os.fsencode(path))
        if fd < 0:
            raise PinMismatch(f"{path} cannot be opened ({reason(fd)}): the pins are not whole; remove them")
        return fd

    def _check(self) -> None:
        for name, entries in self._spec.max_entries.items():
            found = map_info(self._libbpf, self._maps[name])
            if found.max_entries != entries:
                raise PinMismatch(
                    f"pinned map {name} below {self._folder} has {found.max_entries} entries, not {entries}: "
                    "it was made with other bounds"
                )
        for name, mirror in (("slots", layout.Slot), ("table", layout.Set), ("joiners", layout.Joiner)):
            size = map_info(self._libbpf, self._maps[name]).value_size
            if size != ctypes.sizeof(mirror):
                raise PinMismatch(f"pinned map {name} below {self._folder} has another layout")
        counters = layout.Counters()
        key = ctypes.c_uint32(0)
        self._libbpf.bpf_map_lookup_elem(
            self._maps["counters"], ctypes.addressof(key), ctypes.addressof(counters)
        )
        if counters.layout != layout.LAYOUT_VERSION:
            raise PinMismatch(
                f"pins below {self._folder} have layout {counters.layout}, "
                f"this recorder {layout.LAYOUT_VERSION}"
            )

    def map_fds(self) -> Mapping[str, int]:
        """By name."""
        return self._maps

    def program_fds(self) -> Mapping[str, int]:
        """By name."""
        return self._programs

    def program_tags(self) -> Mapping[str, str]:
        """Each program's digest: equal tags, equal instructions."""
        return {name: program_info(self._libbpf, fd).tag for name, fd in self._programs.items()}

    def attach(self) -> None:
        """The pinned links are attached; raises PinMismatch if one is missing."""
        for name in self._spec.attach:
            if not (self._folder / _LINKS / name).exists():
                raise PinMismatch(f"{self._folder} has no link {name}: the pins are not whole; remove them")

    def detach(self) -> None:
        """Removes the pins: with them the links, and when closed all of it."""
        unpin(self._folder)

    def link_fds(self) -> Mapping[str, int]:
        """None: adopted links live by their pins."""
        return {}

    def close(self) -> None:
        """May be repeated; what is pinned stays."""
        for fds in (self._maps, self._programs):
            for fd in fds.values():
                os.close(fd)
            fds.clear()
