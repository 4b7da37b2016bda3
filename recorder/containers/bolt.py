"""A value of a bbolt database (libpod's until Podman 4.8), read beside its writers and without their lock.

The format is that of go.etcd.io/bbolt, version 2: pages of a B+ tree, copied when they are written. The
newer of two meta pages names the root; what is reachable from it stays as it is as long as no other
transaction is committed, so a value counts if the meta pages are the same before and after.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from recorder.containers.pages import Damaged, Read

__all__ = ["bolt_value", "bolt_version"]

_PAGE = struct.Struct("<QHHI")  # id, flags, count of elements, pages that it overflows into
_META = struct.Struct(
    "<IIIIQQQQQQ"
)  # magic, version, page size, flags, root, sequence, freelist, pages, tx, sum
_LEAF = struct.Struct("<IIII")  # flags, position from here, sizes of key and value
_BRANCH = struct.Struct("<IIQ")  # position from here, size of the key, page
_BUCKET = struct.Struct("<QQ")  # root page (0: the page is in the value), sequence
_MAGIC, _VERSION = 0xED0CDAED, 2
_IS_BRANCH, _IS_LEAF, _IS_META = 1, 2, 4
_LARGEST = 64 << 10
_MAX_PAGE = 16 << 20
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class _Meta:
    page_size: int
    root: int
    transaction: int


def bolt_version(read: Read) -> int:
    """The transaction that was committed last. Raises Damaged."""
    return _meta(read).transaction


def bolt_value(read: Read, *keys: bytes) -> bytes | None:
    """The value of the last key, in the buckets that the others name; None: there is none. Raises Damaged."""
    meta = _meta(read)

    def page(number: int) -> bytes:
        start = number * meta.page_size
        _, _, _, overflow = _unpack(_PAGE, read(start, _PAGE.size), 0)
        size = (overflow + 1) * meta.page_size
        if size > _MAX_PAGE:
            raise Damaged(f"page {number} has {size} bytes")
        return read(start, size)

    bucket: bytes | int = meta.root
    for position, key in enumerate(keys):
        found = _find(bucket, page, key)
        if found is None:
            return None
        is_bucket, value = found
        if is_bucket is (position == len(keys) - 1):
            return None
        if not is_bucket:
            return value
        root, _ = _unpack(_BUCKET, value, 0)
        bucket = root or value[_BUCKET.size :]
    return None


def _meta(read: Read) -> _Meta:
    found = []
    # The second is one page behind the first, whose size may be broken: sizes are powers of two.
    sizes = [1 << shift for shift in range(9, _LARGEST.bit_length())]
    for offset in (0, *sizes):
        data = read(offset, _PAGE.size + _META.size)
        if len(data) < _PAGE.size + _META.size:
            continue
        _, flags, _, _ = _PAGE.unpack_from(data)
        magic, version, size, _, root, _, _, _, transaction, checksum = _META.unpack_from(data, _PAGE.size)
        body = data[_PAGE.size : _PAGE.size + _META.size - 8]
        whole = flags == _IS_META and (magic, version) == (_MAGIC, _VERSION) and checksum == _fnv(body)
        if whole and size in sizes and offset in (0, size):
            found.append(_Meta(size, root, transaction))
    if not found:
        raise Damaged("it has no meta page of bbolt's version 2")
    return max(found, key=lambda each: each.transaction)


def _find(bucket: bytes | int, page: Callable[[int], bytes], key: bytes) -> tuple[bool, bytes] | None:
    """A key's value in a bucket (its root page, by number or as it is), and whether that is a bucket."""
    data = page(bucket) if isinstance(bucket, int) else bucket
    for _ in range(_MAX_DEPTH):
        _, flags, count, _ = _unpack(_PAGE, data, 0)
        if flags & _IS_LEAF:
            return _in_leaf(data, count, key)
        if not flags & _IS_BRANCH:
            raise Damaged("a page of the tree is neither a branch nor a leaf")
        data = page(_child(data, count, key))
    raise Damaged("the tree has no end")


def _in_leaf(data: bytes, count: int, key: bytes) -> tuple[bool, bytes] | None:
    for number in range(count):
        at = _PAGE.size + number * _LEAF.size
        flags, position, key_size, value_size = _unpack(_LEAF, data, at)
        start = at + position
        if data[start : start + key_size] == key:
            value = data[start + key_size : start + key_size + value_size]
            if len(value) < value_size:
                raise Damaged("a value goes beyond its page")
            return bool(flags & 1), value
    return None


def _child(data: bytes, count: int, key: bytes) -> int:
    """Of the last child that does not begin behind the key, or of the first."""
    found = None
    for number in range(count):
        at = _PAGE.size + number * _BRANCH.size
        position, size, child = _unpack(_BRANCH, data, at)
        if found is not None and data[at + position : at + position + size] > key:
            break
        found = int(child)
    if found is None:
        raise Damaged("a branch is empty")
    return found


def _unpack(of: struct.Struct, data: bytes, at: int) -> tuple[int, ...]:
    try:
        return of.unpack_from(data, at)
    except struct.error:
        raise Damaged("it is shorter than it says") from None


def _fnv(data: bytes) -> int:
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
