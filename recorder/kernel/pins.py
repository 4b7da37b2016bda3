"""What is pinned in bpffs, so that it outlives the process: put there, adopted, removed.

One folder holds maps/NAME, programs/NAME and links/NAME. A link that is pinned keeps its
program attached.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from recorder.kernel import layout
from recorder.kernel.arrays import SharedArray
from recorder.kernel.info import map_info, program_info
from recorder.kernel.libbpf import Libbpf, reason
from recorder.kernel.links import Links
from recorder.kernel.spec import ObjectSpec
from recorder.model.errors import BpfLoadError, PinMismatch

_Counters = TypeVar("_Counters", bound=ctypes.Structure)

MAPS, PROGRAMS, LINKS = "maps", "programs", "links"

_VALUES: Mapping[str, type[ctypes.Structure]] = {
    "slots": layout.Slot,
    "denials": layout.Denials,
    "table": layout.Set,
    "joiners": layout.Joiner,
    "roots": layout.Root,
    "exchange": layout.Exchange,
    "walk": layout.Walk,
}


def pin(libbpf: Libbpf, folder: Path, maps: Mapping[str, int], programs: Mapping[str, int]) -> None:
    """Pins all by file descriptor, and makes the place for links; all or nothing.

    Raises BpfLoadError; what was there before stays as it was.
    """
    if any((folder / kind).exists() for kind in (MAPS, PROGRAMS, LINKS)):
        raise BpfLoadError(f"{folder} holds pins already; adopt them, or remove them first")
    with contextlib.ExitStack() as undo:
        try:
            _make_folders(folder, undo)
            for kind, fds in ((MAPS, maps), (PROGRAMS, programs)):
                for name, fd in fds.items():
                    path = folder / kind / name
                    code = libbpf.bpf_obj_pin(fd, os.fsencode(path))
                    if code < 0:
                        where = "; is it on a mounted bpffs?" if code in (-errno.EPERM, -errno.EINVAL) else ""
                        raise BpfLoadError(f"cannot pin {name} at {path}: {reason(code)}{where}")
                    undo.callback(path.unlink, missing_ok=True)
        except OSError as error:
            raise BpfLoadError(
                f"cannot pin below {folder}: {error.strerror}; it must be on a bpffs (mount -t bpf bpf"
                " /sys/fs/bpf)"
            ) from error
        undo.pop_all()


def pin_all(
    libbpf: Libbpf, folder: Path, maps: Mapping[str, int], programs: Mapping[str, int], links: Links
) -> None:
    """As pin, with the links. Raises BpfLoadError; then nothing is pinned."""
    pin(libbpf, folder, maps, programs)
    try:
        links.pin(folder / LINKS)
    except BpfLoadError:
        unpin(folder)
        raise


def _make_folders(folder: Path, undo: contextlib.ExitStack) -> None:
    for path in (*reversed(folder.parents), folder, *(folder / kind for kind in (MAPS, PROGRAMS, LINKS))):
        if not path.exists():
            path.mkdir()
            undo.callback(path.rmdir)


def unpin(folder: Path) -> bool:
    """Removes the pins: links first, so that nothing runs on half of them. True if there were any.

    May be repeated. What is not ours in the folder stays, and the folder with it.
    """
    found = False
    for kind in (LINKS, PROGRAMS, MAPS):
        part = folder / kind
        if part.is_dir():
            found = True
            for entry in sorted(part.iterdir()):
                entry.unlink(missing_ok=True)
            part.rmdir()
    if found and not any(folder.iterdir()):
        folder.rmdir()
    return found


class PinnedObject:
    """Maps and programs that another process pinned, opened one by one. See AdoptedObject for errors."""

    def __init__(self, libbpf: Libbpf, folder: Path) -> None:
        self._libbpf = libbpf
        self._folder = folder
        self._maps: dict[str, int] = {}
        self._programs: dict[str, int] = {}

    def open_map(self, name: str) -> int:
        """Its descriptor, which this keeps. Raises PinMismatch."""
        if name not in self._maps:
            self._maps[name] = self._get(MAPS, name)
        return self._maps[name]

    def open_program(self, name: str) -> int:
        """As open_map."""
        if name not in self._programs:
            self._programs[name] = self._get(PROGRAMS, name)
        return self._programs[name]

    def _get(self, kind: str, name: str) -> int:
        path = self._folder / kind / name
        fd: int = self._libbpf.bpf_obj_get(os.fsencode(path))
        if fd < 0:
            raise PinMismatch(f"{path} cannot be opened ({reason(fd)}): the pins are not whole; remove them")
        return fd

    def open_maps(self, bounds: Mapping[str, int]) -> None:
        """Those of these names, each with room for so many elements. Raises PinMismatch."""
        for name, bound in bounds.items():
            self.open_map(name)
            self.check_bound(name, self.entries(name), bound)

    def counters(self, mirror: type[_Counters], version: int) -> _Counters:
        """Those of an object, of that version of its layout. Raises PinMismatch."""
        fd = self.open_map("counters")
        self.check_value("counters", mirror)
        # Not by bpf(2): what is pinned may be attached, see SharedValue.
        with contextlib.closing(SharedArray(fd, mirror, 1)) as shared:
            counters = shared[0]
        self.check_version(counters.layout, version)
        return counters

    def check_value(self, name: str, mirror: type[ctypes.Structure]) -> None:
        """The elements of a map are of this size. Raises PinMismatch."""
        if map_info(self._libbpf, self._maps[name]).value_size != ctypes.sizeof(mirror):
            raise PinMismatch(f"pinned map {name} below {self._folder} has another layout")

    def entries(self, name: str) -> int:
        """How many elements a map has room for."""
        return map_info(self._libbpf, self._maps[name]).max_entries

    def check_bound(self, name: str, actual: int, bound: int) -> None:
        """Raises PinMismatch."""
        if actual != bound:
            raise PinMismatch(
                f"pinned {name} below {self._folder}: {actual}, not {bound}: made with other bounds"
            )

    def check_version(self, actual: int, version: int) -> None:
        """Raises PinMismatch."""
        if actual != version:
            raise PinMismatch(f"pins below {self._folder} have layout {actual}, this recorder {version}")

    def map_fds(self) -> Mapping[str, int]:
        """By name."""
        return self._maps

    def program_fds(self) -> Mapping[str, int]:
        """By name."""
        return self._programs

    def program_tags(self) -> Mapping[str, str]:
        """Each program's digest: equal tags, equal instructions."""
        return {name: program_info(self._libbpf, fd).tag for name, fd in self._programs.items()}

    def close(self) -> None:
        """May be repeated; what is pinned stays."""
        for fds in (self._maps, self._programs):
            for fd in fds.values():
                os.close(fd)
            fds.clear()


class AdoptedObject(PinnedObject):
    """The maps and programs that another process pinned, opened for a reader.

    Raises PinMismatch if what is there was made by another layout or with other sizes, or
    is not whole; it is then left as it is.
    """

    def __init__(self, libbpf: Libbpf, spec: ObjectSpec, folder: Path) -> None:
        super().__init__(libbpf, folder)
        try:
            self.open_map("counters")
            counters = self._checked_counters()  # first: another layout may have other maps
            for name in spec.max_entries:
                self.open_map(name)
            self._check(spec, counters)  # before the programs: which there are depends on the bounds
            for name in spec.programs:
                self.open_program(name)
        except PinMismatch:
            self.close()
            raise

    def _checked_counters(self) -> layout.Counters:
        counters = layout.Counters()
        if map_info(self._libbpf, self._maps["counters"]).value_size == ctypes.sizeof(counters):
            # Not by bpf(2): what is pinned may be attached, see SharedValue.
            with contextlib.closing(SharedArray(self._maps["counters"], layout.Counters, 1)) as shared:
                counters = shared[0]
        self.check_version(counters.layout, layout.LAYOUT_VERSION)
        return counters

    def _check(self, spec: ObjectSpec, counters: layout.Counters) -> None:
        for name, mirror in _VALUES.items():
            if name in self._maps:
                self.check_value(name, mirror)
        for name, bound in spec.max_entries.items():
            self.check_bound(name, self.entries(name), bound)
        self.check_bound("max_children", counters.max_children, spec.bounds.children)
