"""AppArmor's words for rights, as rules and denials have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from recorder.model.access import PtraceRight, SignalRight, SocketRight

__all__ = ["PTRACE_RIGHTS", "SIGNAL_RIGHTS", "SOCKET_RIGHTS"]

SOCKET_RIGHTS: Final[Mapping[str, SocketRight]] = {
    "create": SocketRight.CREATE,
    "bind": SocketRight.BIND,
    "listen": SocketRight.LISTEN,
    "accept": SocketRight.ACCEPT,
    "connect": SocketRight.CONNECT,
    "send": SocketRight.SEND,
    "receive": SocketRight.RECEIVE,
}
"""Others (getattr, shutdown, ...) are of no right that is kept."""
SIGNAL_RIGHTS: Final[Mapping[str, SignalRight]] = {"send": SignalRight.SEND, "receive": SignalRight.RECEIVE}
PTRACE_RIGHTS: Final[Mapping[str, PtraceRight]] = {
    "read": PtraceRight.READ,
    "trace": PtraceRight.TRACE,
    "readby": PtraceRight.READ_BY,
    "tracedby": PtraceRight.TRACED_BY,
}
