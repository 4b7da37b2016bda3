"""A BPF object in the kernel: opened, sized, loaded, attached; its maps and programs by name."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Mapping
from pathlib import Path

from recorder.kernel import layout
from recorder.kernel.btf import Btf, check_layout
from recorder.kernel.libbpf import Libbpf, reason
from recorder.kernel.spec import ObjectSpec
from recorder.model.errors import (
    BpfLoadError,
    MissingObject,
    NoBtf,
    NotPermitted,
    RecorderError,
    UnsupportedKernel,
)

KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")


class LoadedObject:
    """A loaded object and its links. Nothing of it outlives `close`, but for what was pinned.

    Raises MissingObject, NoBtf, NotPermitted, UnsupportedKernel, LayoutMismatch or
    BpfLoadError; then nothing is left in the kernel.
    """

    def __init__(self, libbpf: Libbpf, spec: ObjectSpec) -> None:
        self._libbpf = libbpf
        self._spec = spec
        self._links: dict[str, int] = {}
        self._object = self._open()
        try:
            check_layout(Btf(libbpf, libbpf.bpf_object__btf(self._object)), layout.STRUCTS, layout.ENUMS)
            self._set_sizes()
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

    def _set_sizes(self) -> None:
        for name, entries in self._spec.max_entries.items():
            self._libbpf.bpf_map__set_max_entries(self._map(name), entries)
        size = ctypes.c_size_t()
        address = self._libbpf.bpf_map__initial_value(self._map(".rodata"), ctypes.byref(size))
        for name, value in self._spec.constants.items():
            offset = Btf(self._libbpf, self._libbpf.bpf_object__btf(self._object)).variable(".rodata", name)
            ctypes.c_uint32.from_address(address + offset).value = value

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
        names = (*self._spec.attach, self._spec.control)
        return {name: int(self._libbpf.bpf_program__fd(self._program(name))) for name in names}

    def attach(self) -> None:
        """Attaches what is not attached yet; all or nothing. Raises BpfLoadError."""
        for name in self._spec.attach:
            if name in self._links:
                continue
            link: int | None = self._libbpf.bpf_program__attach(self._program(name))
            if not link:
                code = self._libbpf.last_error()
                self.detach()
                raise BpfLoadError(f"cannot attach {name}: {reason(code)}\n{self._libbpf.log()}".rstrip())
            self._links[name] = link

    def detach(self) -> None:
        """Destroys the links, the hot path's first; pinned ones stay attached."""
        for name in reversed(self._spec.attach):
            link = self._links.pop(name, None)
            if link is not None:
                self._libbpf.bpf_link__destroy(link)

    def link_fds(self) -> Mapping[str, int]:
        """The links by their program's name."""
        return {name: int(self._libbpf.bpf_link__fd(link)) for name, link in self._links.items()}

    def close(self) -> None:
        """May be repeated."""
        self.detach()
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
    if code in (errno.EINVAL, errno.ENOTSUP, errno.ESRCH, errno.E2BIG):
        return UnsupportedKernel(
            f"kernel {kernel} refuses the recorder's programs ({reason(code)}); it needs Linux 5.15 or "
            "newer with BTF: typed raw tracepoints (tp_btf) on sys_enter and cgroup events, atomic "
            f"operations with fetch (5.12), bpf_for_each_map_elem (5.13)\n{log}".rstrip()
        )
    return BpfLoadError(f"kernel {kernel} refuses the recorder's programs: {reason(code)}\n{log}".rstrip())
