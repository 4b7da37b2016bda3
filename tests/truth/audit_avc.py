"""Records of AppArmor and SELinux from the audit multicast, one by one (AUDIT_AVC, linux/audit.h).

The text is what the kernel's own functions print; nothing of the recorder is used to read it.
Needs CAP_AUDIT_READ and the initial network namespace.
"""

import os
import re
import selectors
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.truth.audit import AUDIT_NLGRP_READLOG, NETLINK_AUDIT, SO_RCVBUFFORCE, AuditError

AUDIT_AVC = 1400
_HEADER = struct.Struct("=IHHII")
_BUFFER = 256 << 20
_FIELD = re.compile(rb'([a-z_]+)=("[^"]*"|[^ ]+)')
_PERMISSIONS = re.compile(rb"avc:  (denied|granted)  \{ ([^}]*)\}")
# written by audit_log_untrustedstring(): hex where it holds what a quoted string may not
_UNTRUSTED = frozenset(
    b"profile name target comm peer srcname namespace fs_type fstype trans path exe".split()
)


@dataclass(frozen=True, slots=True)
class AvcRecord:
    """fields: by name, without quotes, hex decoded. SELinux: permissions, and `avc` denied or granted."""

    text: bytes
    fields: dict[str, bytes]
    permissions: tuple[str, ...] = ()


def _unquoted(key: bytes, value: bytes) -> bytes:
    if value.startswith(b'"'):
        return value[1:-1]
    if key in _UNTRUSTED and re.fullmatch(rb"([0-9A-F]{2})+", value):
        return bytes.fromhex(value.decode())
    return value


def parse(text: bytes) -> AvcRecord:
    """The text after `audit(TIME:SERIAL): `."""
    fields = {}
    for key, value in _FIELD.findall(text):
        fields[key.decode()] = _unquoted(key, value)
    permissions: tuple[str, ...] = ()
    if match := _PERMISSIONS.search(text):
        fields["avc"] = match[1]
        permissions = tuple(match[2].decode().split())
    return AvcRecord(text, fields, permissions)


class AvcReader:
    """Collects all records from entry to exit, on a thread."""

    def __init__(self) -> None:
        self.records: list[AvcRecord] = []
        self._changed = threading.Condition()
        self._error: Exception | None = None
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
        self._socket.bind((0, AUDIT_NLGRP_READLOG))
        self._wake, self._woken = os.pipe()
        self._thread = threading.Thread(target=self._read, name="avc reader", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._woken)
        self._thread.join(10)
        os.close(self._wake)
        self._socket.close()

    def _read(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._socket, selectors.EVENT_READ)
            ready.register(self._wake, selectors.EVENT_READ)
            while all(key.fileobj is not self._wake for key, _ in ready.select()):
                try:
                    message = self._socket.recv(65536)
                except OSError as error:  # ENOBUFS: the kernel had no room for a record
                    self._error = error
                    return
                self._take(message)

    def _take(self, message: bytes) -> None:
        if _HEADER.unpack_from(message)[1] != AUDIT_AVC:
            return
        text = message[message.index(b"):", _HEADER.size) + 2 :].strip(b"\0 ")
        with self._changed:
            self.records.append(parse(text))
            self._changed.notify_all()

    def until(self, marker: bytes, seconds: float = 60) -> list[AvcRecord]:
        """All records up to the first that has this text in it. Raises AuditError if none comes."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._place(marker) is not None, seconds):
                raise AuditError(f"no record with {marker!r} came within {seconds} s: {self._error}")
            place = self._place(marker)
            return self.records[:place]

    def _place(self, marker: bytes) -> int | None:
        return next((place for place, each in enumerate(self.records) if marker in each.text), None)
