"""Is the object's layout ours? Compares recorder.kernel.layout with an object's BTF.

BTF's encoding is in the kernel's Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from enum import IntEnum

from recorder.kernel.libbpf import Libbpf
from recorder.model.errors import LayoutMismatch

KIND_STRUCT = 4
KIND_ENUM = 6
KIND_DATASEC = 15


class _Type(ctypes.Structure):
    """struct btf_type (include/uapi/linux/btf.h)."""

    _fields_ = (("name", ctypes.c_uint32), ("info", ctypes.c_uint32), ("size", ctypes.c_uint32))


class _Member(ctypes.Structure):
    """struct btf_member; `offset` is in bits."""

    _fields_ = (("name", ctypes.c_uint32), ("type", ctypes.c_uint32), ("offset", ctypes.c_uint32))


class _Enumerator(ctypes.Structure):
    """struct btf_enum."""

    _fields_ = (("name", ctypes.c_uint32), ("value", ctypes.c_int32))


class _SectionVariable(ctypes.Structure):
    """struct btf_var_secinfo."""

    _fields_ = (("type", ctypes.c_uint32), ("offset", ctypes.c_uint32), ("size", ctypes.c_uint32))


class Btf:
    """The BTF of an open object."""

    def __init__(self, libbpf: Libbpf, handle: int) -> None:
        self._libbpf = libbpf
        self._handle = handle

    def _entries(self, address: int, entry: type[ctypes.Structure]) -> Iterator[ctypes.Structure]:
        header = _Type.from_address(address)
        # vlen, the number of members, is the low half of info.
        for index in range(header.info & 0xFFFF):
            yield entry.from_address(address + ctypes.sizeof(_Type) + index * ctypes.sizeof(entry))

    def _name(self, offset: int) -> str:
        name: bytes = self._libbpf.btf__name_by_offset(self._handle, offset)
        return name.decode()

    def _find(self, name: str, kind: int) -> int:
        number: int = self._libbpf.btf__find_by_name_kind(self._handle, name.encode(), kind)
        if number < 0:
            raise LayoutMismatch(
                f"the BPF object has no type {name}: it was built from other sources (make bpf)"
            )
        address: int = self._libbpf.btf__type_by_id(self._handle, number)
        return address

    def struct(self, name: str) -> tuple[int, dict[str, tuple[int, int]]]:
        """Size in bytes, and each member's (offset, size) in bytes."""
        address = self._find(name, KIND_STRUCT)
        members = {
            self._name(member.name): (
                (member.offset & 0xFFFFFF) // 8,
                int(self._libbpf.btf__resolve_size(self._handle, member.type)),
            )
            for member in self._entries(address, _Member)
        }
        return int(_Type.from_address(address).size), members

    def enum(self, name: str) -> dict[str, int]:
        """The values by name."""
        address = self._find(name, KIND_ENUM)
        return {self._name(entry.name): int(entry.value) for entry in self._entries(address, _Enumerator)}

    def variable(self, section: str, name: str) -> int:
        """The offset of a global variable in its section, in bytes."""
        for entry in self._entries(self._find(section, KIND_DATASEC), _SectionVariable):
            address = self._libbpf.btf__type_by_id(self._handle, entry.type)
            if self._name(_Type.from_address(address).name) == name:
                return int(entry.offset)
        raise LayoutMismatch(
            f"the BPF object has no constant {name}: it was built from other sources (make bpf)"
        )


def check_layout(
    btf: Btf, structs: Mapping[str, type[ctypes.Structure]], enums: Mapping[str, type[IntEnum]]
) -> None:
    """Raises LayoutMismatch, naming the first type that differs."""
    for name, mirror in structs.items():
        expected = {
            field[0]: (getattr(mirror, field[0]).offset, getattr(mirror, field[0]).size)
            for field in mirror._fields_
        }
        _compare(f"struct {name}", (ctypes.sizeof(mirror), expected), btf.struct(name))
    for name, values in enums.items():
        _compare(f"enum {name}", {value.name: int(value) for value in values}, btf.enum(name))


def _compare(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise LayoutMismatch(
            f"{what} of the BPF object is not what this recorder expects "
            f"(object: {theirs}; recorder: {ours}); build the object anew (make bpf)"
        )
