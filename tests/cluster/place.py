"""Where a control plane listens: a loopback address of this machine, or a network of its own."""

import socket
from collections.abc import Sequence
from typing import Protocol

SERVICES, SERVICE = "10.96.0.0/16", "10.96.0.1"  # addresses of Services; that of `kubernetes`


class Place(Protocol):
    """`host`: the address. `words`: what a command line of a daemon begins with, so that it runs there.

    `routable`: whether pods can reach the address.
    """

    routable: bool

    @property
    def host(self) -> str:
        """As above."""

    @property
    def words(self) -> Sequence[str]:
        """As above."""

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """A connection to something that listens there; OSError."""

    def close(self) -> None:
        """Let go of it; may be repeated."""
