"""Where Docker listens."""

from __future__ import annotations

import contextlib
from pathlib import Path

SOCKETS = ("run/docker.sock", "var/run/docker.sock")
"""Of its daemon, below the machine's root."""


def sockets(root: Path = Path("/")) -> list[Path]:
    """The usual sockets that are there, each once. `root`: where the machine's file system is."""
    found: dict[Path, Path] = {}
    for path in (root / each for each in SOCKETS):
        with contextlib.suppress(OSError):
            if path.is_socket():
                found.setdefault(path.resolve(), path)
    return list(found.values())
