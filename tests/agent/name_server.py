"""A DNS server on the loopback that knows one name, and processes for which it is the only one.

A collector is reached by a name of the cluster's DNS, and whoever asks makes calls that nobody makes for
a name in /etc/hosts.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ADDRESS = "127.0.0.53"
A, IN = 1, 1

_USE = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@dataclass(slots=True)
class NameServer:
    """`name` is 127.0.0.1; there is no other name. `asked`: types, as they came."""

    name: str
    folder: Path
    asked: list[int] = field(default_factory=list)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command line begins with so that this server is asked: in its own mount namespace. Root."""
        return ("unshare", "--mount", "sh", "-c", _USE, str(self.folder / "resolv.conf"))

    def answer(self, query: bytes) -> bytes:
        """RFC 1035: the question again, and the address if it is the one that there is."""
        end = 12
        labels = []
        while query[end]:
            labels.append(query[end + 1 : end + 1 + query[end]].decode("ascii", "replace"))
            end += 1 + query[end]
        (kind,) = struct.unpack_from(">H", query, end + 1)
        question = query[12 : end + 5]
        self.asked.append(kind)
        ours = ".".join(labels).lower() == self.name
        found = struct.pack(">HHHIH4B", 0xC00C, A, IN, 1, 4, 127, 0, 0, 1) if ours and kind == A else b""
        flags = 0x8580 if ours else 0x8583  # authoritative; 3: no such name
        return query[:2] + struct.pack(">5H", flags, 1, bool(found), 0, 0) + question + found


@contextlib.contextmanager
def name_server(name: str, folder: Path) -> Iterator[NameServer]:
    """Serves on port 53 of a loopback address that is nobody's else."""
    made = NameServer(name, folder)
    (folder / "resolv.conf").write_text(f"nameserver {ADDRESS}\noptions timeout:2 attempts:2\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((ADDRESS, 53))

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    query, client = server.recvfrom(4096)
                    if not query:
                        return
                    server.sendto(made.answer(query), client)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield made
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (ADDRESS, 53))
            thread.join(10)
