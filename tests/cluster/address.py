"""A loopback address that no other run has: each can then use the well-known ports."""

import random
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.cluster.errors import ClusterError

LOCK_PORT = 20443  # whoever listens here has the address; the kernel lets go of it when the process ends
TRIES = 50


class Address:
    """One of 127.64.0.1 to 127.127.255.254; `str` gives it. It is this process's until `close`.

    A Place: daemons that listen there run beside the tests.
    """

    words: Sequence[str] = ()
    routable = False

    def __init__(self) -> None:
        self._lock = socket.socket()
        choice = random.SystemRandom()
        for _ in range(TRIES):
            self._text = f"127.{choice.randrange(64, 128)}.{choice.randrange(256)}.{choice.randrange(1, 255)}"
            try:
                self._lock.bind((self._text, LOCK_PORT))
            except OSError:
                continue
            self._lock.listen(1)
            return
        raise ClusterError(
            f"port {LOCK_PORT} is taken at {TRIES} loopback addresses: does something listen on all?"
        )

    def __str__(self) -> str:
        return self._text

    @property
    def host(self) -> str:
        """The address."""
        return self._text

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """A connection; OSError."""
        return socket.create_connection((host, port), seconds)

    def close(self) -> None:
        """Let go of it; may be repeated."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
