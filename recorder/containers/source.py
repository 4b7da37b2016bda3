"""What the index asks of a runtime on this node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from recorder.containers.container import Container, Manager


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """A runtime as it was when it was last asked. `problem`: why it does not serve; empty: it does."""

    name: str
    version: str
    endpoint: str
    reachable: bool
    problem: str = ""
    handlers: tuple[str, ...] = ()


class Source(Protocol):
    """One runtime: a CRI endpoint, Docker, Podman. Each call has a deadline of its own."""

    @property
    def name(self) -> str:
        """For logs, tables and metrics: cri, docker, podman."""

    @property
    def manager(self) -> Manager:
        """Whose containers it knows."""

    def status(self) -> SourceStatus:
        """What is known of the runtime itself; asks nothing."""

    async def find(self, container_id: str) -> Container | None:
        """All that the runtime knows of one container now; None: it knows none of that id.

        Raises RuntimeUnreachable.
        """

    async def list(self) -> list[Container]:
        """The containers that are there and have not ended. Raises RuntimeUnreachable.

        Of one without a pid only what a list has is said: `find` says the rest.
        """

    def watch(self) -> AsyncIterator[None]:
        """Yields when a container came, went or changed; never, if the runtime tells no such thing.

        Raises RuntimeUnreachable. Ends when the runtime ended it: ask again.
        """

    async def close(self) -> None:
        """Ends connections; may be repeated."""
