"""A BPF hash map by its descriptor, with typed keys and values."""

from __future__ import annotations

import ctypes
import errno
from typing import Generic, TypeVar

from recorder.kernel.libbpf import Libbpf, reason
from recorder.model.errors import BpfLoadError

Key = TypeVar("Key", bound="ctypes.Structure | ctypes._SimpleCData[int]")
Value = TypeVar("Value", bound=ctypes.Structure)

_NO_EXIST = 1


class HashMap(Generic[Key, Value]):
    """entries: how many it can hold.

    Each method is one or more system calls; those that change it return 0 or a negative errno.
    """

    def __init__(self, libbpf: Libbpf, fd: int, key: type[Key], value: type[Value], entries: int) -> None:
        self._libbpf = libbpf
        self._fd = fd
        self._key = key
        self._value = value
        self._entries = entries

    def get(self, key: Key) -> Value | None:
        """A copy of the value; None if there is none."""
        value = self._value()
        code = self._libbpf.bpf_map_lookup_elem(self._fd, ctypes.addressof(key), ctypes.addressof(value))
        return None if code < 0 else value

    def put(self, key: Key, value: Value) -> int:
        """Whether it was there before or not."""
        return self._update(key, value, 0)

    def insert(self, key: Key, value: Value) -> int:
        """-EEXIST if it is there already."""
        return self._update(key, value, _NO_EXIST)

    def _update(self, key: Key, value: Value, flags: int) -> int:
        code: int = self._libbpf.bpf_map_update_elem(
            self._fd, ctypes.addressof(key), ctypes.addressof(value), flags
        )
        return code

    def remove(self, key: Key) -> int:
        """-ENOENT if it is not there."""
        code: int = self._libbpf.bpf_map_delete_elem(self._fd, ctypes.addressof(key))
        return code

    def items(self) -> list[tuple[Key, Value]]:
        """What is there. Raises BpfLoadError.

        Bucket by bucket, each under its lock (BPF_MAP_LOOKUP_BATCH, 5.6): a walk from key to key
        misses others when an element is removed and used again at the wrong moment.
        """
        found: list[tuple[Key, Value]] = []
        keys = (self._key * self._entries)()
        values = (self._value * self._entries)()
        position = ctypes.c_uint32()
        start: int | None = None
        code = 0
        while code == 0:
            number = ctypes.c_uint32(self._entries)
            code = self._libbpf.bpf_map_lookup_batch(
                self._fd,
                start,
                ctypes.addressof(position),
                ctypes.addressof(keys),
                ctypes.addressof(values),
                ctypes.byref(number),
                None,
            )
            if code not in (0, -errno.ENOENT):
                raise BpfLoadError(f"cannot read a map: {reason(code)}")
            for index in range(number.value):
                key, value = self._key(), self._value()
                ctypes.memmove(
                    ctypes.addressof(key),
                    ctypes.addressof(keys) + index * ctypes.sizeof(key),
                    ctypes.sizeof(key),
                )
                ctypes.memmove(
                    ctypes.addressof(value),
                    ctypes.addressof(values) + index * ctypes.sizeof(value),
                    ctypes.sizeof(value),
                )
                found.append((key, value))
            start = ctypes.addressof(position)
        return found
