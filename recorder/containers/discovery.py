"""Which runtimes there are: those at their usual places, found as they appear, and configured ones."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from recorder.containers.cri_endpoint import endpoints
from recorder.containers.docker_sockets import sockets
from recorder.containers.oci_runtime import UNRECORDABLE, RuntimeVersions
from recorder.containers.podman import PodmanSource, storages
from recorder.containers.source import Source


class Discovery:
    """Looks for runtimes at their usual places; each call gives those that were not given before.

    `root`: where the machine's file system is (`/`, or a mount of it). `limit`: for a CRI runtime's
    sandboxes. Blocking.
    """

    def __init__(
        self, root: Path = Path("/"), *, limit: int = 1024, unrecordable: Sequence[str] = UNRECORDABLE
    ) -> None:
        self._root = root
        self._limit = limit
        self._unrecordable = unrecordable
        self._versions = RuntimeVersions()
        self._given: set[Path] = set()

    def cri(self, endpoint: Path) -> Source:
        """The CRI runtime at a socket that is configured, whether it is there or not."""
        # gRPC is for those alone who have such a runtime
        from recorder.containers.cri import CriSource  # noqa: PLC0415

        self._given.add(endpoint.resolve())
        return CriSource(
            endpoint, limit=self._limit, unrecordable=self._unrecordable, versions=self._versions
        )

    def docker(self, endpoint: Path) -> Source:
        """The Docker daemon at a socket that is configured, whether it is there or not."""
        # HTTP's library, and its memory, is for those alone who have Docker
        from recorder.containers.docker import DockerSource  # noqa: PLC0415

        self._given.add(endpoint.resolve())
        return DockerSource(endpoint, unrecordable=self._unrecordable, versions=self._versions)

    def at(self, endpoint: Path) -> Source:
        """The runtime at a socket of which is not known what it speaks: Docker's HTTP, else the CRI."""
        return self.docker(endpoint) if _speaks_http(endpoint) else self.cri(endpoint)

    def __call__(self) -> list[Source]:
        """Runtimes that are there, and were not given before."""
        found: list[Source] = []
        found += [self.cri(each) for each in endpoints(self._root) if each.resolve() not in self._given]
        found += [self.docker(each) for each in sockets(self._root) if each.resolve() not in self._given]
        stores = [each for each in storages(self._root) if each.graph_root.resolve() not in self._given]
        if stores:
            self._given.update(each.graph_root.resolve() for each in stores)
            found.append(PodmanSource(stores, unrecordable=self._unrecordable, versions=self._versions))
        return found


def _speaks_http(endpoint: Path, timeout: float = 5.0) -> bool:
    """Whether HTTP/1 is answered; gRPC's HTTP/2 refuses it, and begins otherwise."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(endpoint))
            connection.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return connection.recv(7, socket.MSG_WAITALL) == b"HTTP/1."
        except OSError:
            return False
