"""A row of a SQLite table (libpod's database since Podman 4.8), read beside its writers without their lock.

The format is that of https://www.sqlite.org/fileformat2.html, with a rollback journal. No SQL of the file
is run: it is a user's own. Whoever writes has a journal beside the file until the change counter has been
raised, so a row counts if there was no journal, and the counter is the same before and after.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from recorder.containers.pages import Damaged, Read

__all__ = ["sqlite_row", "sqlite_version"]

Value = bytes | int | None
"""A text or a blob as bytes, an integer; None: null, or a real number."""

_MAGIC = b"SQLite format 3\0"
_HEADER = 100  # bytes, at the begin of page 1
_INTERIOR, _LEAF = 5, 13  # of a table
_INTEGERS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes by serial type
_MAX_PAYLOAD = 16 << 20
_MAX_PAGES = 1 << 16


def sqlite_version(read: Read) -> int:
    """The file change counter. Raises Damaged."""
    return _File(read).counter


def sqlite_row(read: Read, table: str, key: str) -> tuple[Value, ...] | None:
    """The row whose first column is this text; None: there is no such row or table. Raises Damaged."""
    file = _File(read)
    for row in file.rows(1):
        if len(row) >= 4 and (row[0], row[1]) == (b"table", table.encode()) and isinstance(row[3], int):
            return next(iter(file.rows(row[3], key.encode())), None)
    return None


@dataclass(slots=True)
class _File:
    read: Read
    counter: int = 0
    page_size: int = 0
    usable: int = 0

    def __post_init__(self) -> None:
        header = self.read(0, _HEADER)
        if len(header) < _HEADER or not header.startswith(_MAGIC):
            raise Damaged("it is no SQLite database")
        size, writes, reads, reserved = struct.unpack_from(">HBBB", header, 16)
        if (writes, reads) != (1, 1):
            raise Damaged("it has a write-ahead log, and what is in that cannot be read")
        self.page_size = 65536 if size == 1 else size
        self.usable = self.page_size - reserved
        # in smaller pages (SQLite's are of 4096) a key of 64 characters may not be in the page of its row
        if self.page_size < 1024 or self.usable < 992:
            raise Damaged(f"its pages have {self.page_size} bytes")
        (self.counter,) = struct.unpack_from(">I", header, 24)

    def _page(self, number: int) -> bytes:
        data = self.read((number - 1) * self.page_size, self.page_size)
        if number < 1 or len(data) < self.page_size:
            raise Damaged(f"it has no page {number}")
        return data

    def rows(self, root: int, key: bytes | None = None) -> Iterator[tuple[Value, ...]]:
        """Of a table by its root page: all, or those with that first column."""
        left, waiting = _MAX_PAGES, [root]
        while waiting:
            left -= 1
            if left < 0:
                raise Damaged("the tree has no end")
            number = waiting.pop()
            data = self._page(number)
            start = _HEADER if number == 1 else 0
            kind, _, count, _, _ = struct.unpack_from(">BHHHB", data, start)
            head = start + (12 if kind == _INTERIOR else 8)
            if kind not in (_INTERIOR, _LEAF) or head + 2 * count > len(data):
                raise Damaged(f"page {number} is no page of a table")
            cells = struct.unpack_from(f">{count}H", data, head)
            if kind == _INTERIOR:
                waiting.append(struct.unpack_from(">I", data, start + 8)[0])
                waiting += [_number(data, cell) for cell in reversed(cells)]
            else:
                for cell in cells:
                    row = self._row(data, cell, key)
                    if row is not None:
                        yield row

    def _row(self, data: bytes, cell: int, key: bytes | None) -> tuple[Value, ...] | None:
        size, at = _varint(data, cell)
        _, at = _varint(data, at)
        if size > _MAX_PAYLOAD:
            raise Damaged(f"a row has {size} bytes")
        local = self._local(size)
        payload = data[at : at + local]
        if key is not None and not _begins(payload, key):
            return None
        if local < size:
            payload += self._overflow(_number(data, at + local), size - local)
        if len(payload) < size:
            raise Damaged("a row goes beyond its page")
        return tuple(_values(payload))

    def _local(self, size: int) -> int:
        """How much of a payload is in the leaf's page itself."""
        most = self.usable - 35
        if size <= most:
            return size
        least = (self.usable - 12) * 32 // 255 - 23
        here = least + (size - least) % (self.usable - 4)
        return here if here <= most else least

    def _overflow(self, page: int, size: int) -> bytes:
        parts = []
        while size > 0:
            data = self._page(page)
            part = data[4 : min(self.usable, 4 + size)]
            parts.append(part)
            size -= len(part)
            page = _number(data, 0)
        return b"".join(parts)


def _begins(payload: bytes, key: bytes) -> bool:
    """Whether the first column is this text, which with its header is in the page itself."""
    end, at = _varint(payload, 0)
    kind, _ = _varint(payload, at)
    return kind == 13 + 2 * len(key) and payload[end : end + len(key)] == key


def _values(payload: bytes) -> Iterator[Value]:
    end, at = _varint(payload, 0)
    body = end
    while at < end:
        kind, at = _varint(payload, at)
        if kind in (8, 9):
            yield kind - 8
            continue
        size = _INTEGERS.get(kind, 8 if kind == 7 else max(0, (kind - 12) // 2))
        value = payload[body : body + size]
        body += size
        if kind in _INTEGERS:
            yield int.from_bytes(value, "big", signed=True)
        else:
            yield value if kind >= 12 else None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and where it ends."""
    value = 0
    try:
        for _ in range(8):
            byte = data[at]
            at += 1
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value, at
        return value << 8 | data[at], at + 1
    except IndexError:
        raise Damaged("a number goes beyond its page") from None


def _number(data: bytes, at: int) -> int:
    try:
        return int(struct.unpack_from(">I", data, at)[0])
    except struct.error:
        raise Damaged("a number goes beyond its page") from None
