"""Messages of the kernel's audit, by netlink (include/uapi/linux/audit.h).

In a module of its own, since pyroute2 is imported here: some 23 MiB, for who needs it alone.
"""

from __future__ import annotations

import os
import socket
import struct

from pyroute2.netlink import NETLINK_AUDIT, NLM_F_REQUEST, NLMSG_ERROR, nlmsg

from recorder.model.errors import NotPermitted, UnsupportedKernel

AUDIT_GET = 1000
AUDIT_NLGRP_READLOG = 1
_HEADER = 16  # struct nlmsghdr
_LENGTH = struct.Struct("=I")
_SO_RCVBUFFORCE = 33
_LARGEST = 65536


class AuditMessage(nlmsg):  # type: ignore[misc]  # it has no types
    """One record as the multicast has it: a header, then text."""

    __slots__ = ()
    fields = ()

    @classmethod
    def of(cls, datagram: bytes) -> AuditMessage:
        """Decoded. The header has the length of the text alone there (kernel/audit.c, audit_log_end)."""
        message = cls(bytearray(_LENGTH.pack(len(datagram)) + datagram[_LENGTH.size :]))
        message.decode()
        return message

    @property
    def kind(self) -> int:
        """AUDIT_AVC, ..."""
        found: int = self["header"]["type"]
        return found

    @property
    def text(self) -> bytes:
        """What audit_log_format() made."""
        return bytes(self.data[_HEADER:])


class AuditStatus(nlmsg):  # type: ignore[misc]
    """The head of struct audit_status, the same since 2.6."""

    __slots__ = ()
    fields = tuple(
        (name, "I")
        for name in ("mask", "enabled", "failure", "pid", "rate_limit", "backlog_limit", "lost", "backlog")
    )


def _opened() -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_AUDIT)
    except OSError as error:
        raise UnsupportedKernel(
            f"the kernel's audit cannot be listened to ({error.strerror}): it was built without "
            "CONFIG_AUDIT, or booted with audit=0"
        ) from error


def open_multicast(buffer_bytes: int) -> socket.socket:
    """A socket that gets every record from now on. Raises UnsupportedKernel, NotPermitted."""
    made = _opened()
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
        made.bind((0, AUDIT_NLGRP_READLOG))
    except OSError as error:
        made.close()
        raise NotPermitted(
            f"the kernel's audit cannot be listened to ({error.strerror}): it needs CAP_AUDIT_READ and "
            "CAP_NET_ADMIN in the initial user namespace"
        ) from error
    return made


def lost_records() -> int:
    """How many records audit itself has lost since the boot, as with a full backlog.

    Raises NotPermitted or UnsupportedKernel.
    """
    asked = AuditStatus()
    asked["header"]["type"] = AUDIT_GET
    asked["header"]["flags"] = NLM_F_REQUEST
    asked.encode()
    with _opened() as control:
        control.settimeout(5)
        try:
            control.send(bytes(asked.data))
            answer = control.recv(_LARGEST)
        except OSError as error:
            raise NotPermitted(f"the kernel's audit does not say what it lost: {error}") from error
    message = AuditStatus(bytearray(answer.ljust(_HEADER + 32, b"\0")))
    message.decode()
    if message["header"]["type"] == NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", answer, _HEADER)
        raise NotPermitted(
            f"the kernel's audit does not say what it lost ({os.strerror(-code)}): it needs "
            "CAP_AUDIT_CONTROL in the initial namespaces"
        )
    found: int = message["lost"]
    return found
