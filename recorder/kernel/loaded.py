"""A BPF object in the kernel: opened, sized, loaded; its maps and programs by name."""

from __future__ import annotations

import ctypes
import errno
import os
import re
from collections.abc import Mapping
from enum import IntEnum
from pathlib import Path
from typing import Protocol

from recorder.kernel.btf import Btf, check_layout
from recorder.kernel.libbpf import Libbpf, reason
from recorder.kernel.preemption import KERNEL_BTF
from recorder.model.errors import (
    BpfLoadError,
    LayoutMismatch,
    MissingObject,
    NoBtf,
    NotPermitted,
    RecorderError,
    UnsupportedKernel,
)

OLDEST_KERNEL = (5, 15)


class Loadable(Protocol):
    """What a load needs to know of an object; see ObjectSpec for the fields. programs: all that are used."""

    @property
    def path(self) -> Path: ...
    @property
    def max_entries(self) -> Mapping[str, int]: ...
    @property
    def constants(self) -> Mapping[str, int]: ...
    @property
    def unused(self) -> tuple[str, ...]: ...
    @property
    def structs(self) -> Mapping[str, type[ctypes.Structure]]: ...
    @property
    def enums(self) -> Mapping[str, type[IntEnum]]: ...
    @property
    def programs(self) -> tuple[str, ...]: ...


class LoadedObject:
    """A loaded object. Nothing of it outlives `close`, but for what was pinned.

    shared: maps of another object that are used instead of own ones, by name.

    Raises MissingObject, NoBtf, NotPermitted, UnsupportedKernel, LayoutMismatch or
    BpfLoadError; then nothing is left in the kernel.
    """

    def __init__(self, libbpf: Libbpf, spec: Loadable, shared: Mapping[str, int] | None = None) -> None:
        self._libbpf = libbpf
        self._spec = spec
        self._object = self._open()
        try:
            btf = self._btf()
            check_layout(btf, self._spec.structs, self._spec.enums)
            self._set_sizes(btf)
            for name, fd in (shared or {}).items():
                self._share(name, fd)
            for name in self._spec.unused:
                self._libbpf.bpf_program__set_autoload(self._program(name), False)
            self._load()
        except RecorderError:
            self.close()
            raise

    def _open(self) -> int:
        if not self._spec.path.exists():
            raise MissingObject(f"{self._spec.path} is missing; build it with: make bpf")
        handle: int | None = self._libbpf.bpf_object__open_file(os.fsencode(self._spec.path), None)
        if not handle:
            code = self._libbpf.last_error()
            raise BpfLoadError(
                f"cannot open the BPF object {self._spec.path}: {reason(code)}\n{self._libbpf.log()}".rstrip()
            )
        return handle

    def _btf(self) -> Btf:
        handle: int | None = self._libbpf.bpf_object__btf(self._object)
        if not handle:
            raise LayoutMismatch(f"{self._spec.path} has no type information (BTF); build it anew (make bpf)")
        return Btf(self._libbpf, handle)

    def _set_sizes(self, btf: Btf) -> None:
        for name, entries in self._spec.max_entries.items():
            self._libbpf.bpf_map__set_max_entries(self._map(name), entries)
        if not self._spec.constants:
            return
        size = ctypes.c_size_t()
        address = self._libbpf.bpf_map__initial_value(self._map(".rodata"), ctypes.byref(size))
        for name, value in self._spec.constants.items():
            ctypes.c_uint32.from_address(address + btf.variable(".rodata", name)).value = value

    def _share(self, name: str, fd: int) -> None:
        code: int = self._libbpf.bpf_map__reuse_fd(self._map(name), fd)
        if code < 0:
            raise BpfLoadError(f"cannot use the map {name} of another object: {reason(code)}")

    def _load(self) -> None:
        code: int = self._libbpf.bpf_object__load(self._object)
        if code == 0:
            return
        log = self._libbpf.log()
        raise load_error(-code, log)

    def _map(self, name: str) -> int:
        handle: int | None = self._libbpf.bpf_object__find_map_by_name(self._object, name.encode())
        if not handle:
            raise BpfLoadError(f"{self._spec.path} has no map {name}; build it anew (make bpf)")
        return handle

    def _program(self, name: str) -> int:
        handle: int | None = self._libbpf.bpf_object__find_program_by_name(self._object, name.encode())
        if not handle:
            raise BpfLoadError(f"{self._spec.path} has no program {name}; build it anew (make bpf)")
        return handle

    def map_fds(self) -> Mapping[str, int]:
        """The maps of the spec and the counters, by name."""
        names = (*self._spec.max_entries, "counters")
        return {name: int(self._libbpf.bpf_map__fd(self._map(name))) for name in names}

    def program_fds(self) -> Mapping[str, int]:
        """The programs of the spec, by name."""
        return {name: int(self._libbpf.bpf_program__fd(self._program(name))) for name in self._spec.programs}

    def close(self) -> None:
        """May be repeated."""
        if self._object:
            self._libbpf.bpf_object__close(self._object)
            self._object = 0


def load_error(code: int, log: str) -> RecorderError:
    """What a failed load means, with libbpf's own lines; code is an errno."""
    if code in (errno.EPERM, errno.EACCES) and os.geteuid() != 0:
        return NotPermitted("loading BPF programs needs root (or CAP_BPF, CAP_PERFMON and CAP_SYS_RESOURCE)")
    if code == errno.EPERM:
        return NotPermitted(
            "the kernel refuses to load BPF programs for root: kernel lockdown, a seccomp filter or a "
            f"security module forbids it\n{log}".rstrip()
        )
    if not KERNEL_BTF.exists():
        return NoBtf(
            f"{KERNEL_BTF} is missing: the kernel was built without CONFIG_DEBUG_INFO_BTF; "
            "boot a distribution kernel of 5.15 or newer that has it"
        )
    kernel = os.uname().release
    needs = (
        "the recorder needs Linux 5.15 or newer with BTF: typed raw tracepoints (tp_btf) on sys_enter and "
        "cgroup events, atomic operations with fetch (5.12), bpf_for_each_map_elem (5.13)"
    )
    if kernel_version(kernel) < OLDEST_KERNEL:
        return UnsupportedKernel(f"kernel {kernel} is too old ({reason(code)}); {needs}\n{log}".rstrip())
    return BpfLoadError(
        f"kernel {kernel} refuses the recorder's programs ({reason(code)}), though it is new enough; please "
        f"report it with the lines above\n{log}".rstrip()
    )


def kernel_version(release: str) -> tuple[int, int]:
    """The first two numbers of a `uname -r`; (0, 0) if it has none."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)
