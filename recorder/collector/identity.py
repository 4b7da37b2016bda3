"""The collector's own certificate and its CA: made at the first start, renewed before they end.

Nothing that stands is interrupted. A new CA is trusted beside the one before, which stays trusted
until it ends; agents' certificates are signed by the new one at once, since this collector trusts
both; its own certificate is signed by the new one only after `SPREAD`, when agents have been
told of it (by a ConfigMap, which takes its kubelets minutes to show).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from recorder.collector.figures import ServiceFigures
from recorder.identity.authority import Certificate, Purpose, key_pem, new_key, requested_key
from recorder.identity.authority_folder import SERVER, AuthorityFolder, write_whole
from recorder.model.errors import InvalidCertificate, PlatformUnreachable, RecorderError
from recorder.rpc.tls import TlsFiles

__all__ = ["CollectorIdentity", "Lives", "TrustPublisher"]

log = logging.getLogger(__name__)

SPREAD = 3600.0
"""Seconds from a new CA until the collector's certificate is signed by it; less for short-lived ones."""
LOOK = 30.0
"""Seconds between two looks at what may have to be renewed."""
PUBLISH = 300.0
"""Seconds between two looks at what is published: somebody may have changed it."""


@dataclass(frozen=True, slots=True)
class Lives:
    """Seconds: of the certificates of agents and of the collector itself; of a CA that it makes."""

    certificate: float = 86_400.0
    authority: float = 365 * 86_400.0


class TrustPublisher(Protocol):
    """Where agents and clients learn of the CA."""

    async def publish(self, certificates: str) -> bool:
        """Have it say this; whether it said something else. PlatformUnreachable."""


class CollectorIdentity:
    """`run` as a task, after `open`. names: of the server, by which agents and people reach it."""

    def __init__(
        self,
        folder: AuthorityFolder,
        names: Sequence[str],
        lives: Lives,
        publisher: TrustPublisher | None,
        figures: ServiceFigures,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._folder = folder
        self._names = tuple(names)
        self._lives = lives
        self._publisher = publisher
        self._figures = figures
        self._clock = clock
        self._sleep = sleep
        self._server: Certificate | None = None
        self._since = 0.0  # the CA that signs was taken up then
        self._published: tuple[bytes, float] | None = None

    @property
    def files(self) -> TlsFiles:
        """For the collector's ports."""
        server = self._folder.path / SERVER
        return TlsFiles(server, server, self._folder.path / "ca.crt")

    def begin(self) -> None:
        """Have a certificate of the server. InvalidCertificate, StorageError."""
        now = self._clock()
        found = self._read()
        own = self._folder.authority.own
        if found is None or found.ends <= now or not self._trusts(found):
            self._renew(now)
        else:
            self._server = found
        self._since = own.begins
        self._count()

    def sign(self, request: bytes, name: str) -> Certificate:
        """An agent's certificate with that name. InvalidRequest."""
        return self._folder.authority.sign(
            requested_key(request), [name], Purpose.CLIENT, self._clock(), self._lives.certificate
        )

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                self._look()
            except RecorderError as error:
                self._figures.identity_problem = str(error)
                log.error("the CA or the collector's certificate cannot be renewed: %s", error)
            else:
                self._figures.identity_problem = ""
            await self._publish()
            await self._sleep(min(LOOK, self._lives.certificate / 20))

    def _look(self) -> None:
        now = self._clock()
        folder, before = self._folder, self._folder.authority.own
        folder.look(now)
        own = folder.authority.own
        if not folder.mounted and now - own.begins > (own.ends - own.begins) / 2:
            folder.rotate(now, self._lives.authority)
        if folder.authority.own != before:
            log.info("a new CA signs from now on; the one before is trusted until it ends")
            self._since = now
        server = self._server
        spread = min(SPREAD, self._lives.certificate / 8)
        half = server is None or now - server.begins > (server.ends - server.begins) / 2
        if half and (now - self._since >= spread or server is None or server.ends - now < spread):
            self._renew(now)
        self._count()

    def _renew(self, now: float) -> None:
        key = new_key()
        made = self._folder.authority.sign(
            key.public_key(), self._names, Purpose.SERVER, now, self._lives.certificate
        )
        write_whole(self._folder.path / SERVER, made.pem + key_pem(key), 0o600)
        self._server = made
        log.info("the collector has a new certificate, for %s", ", ".join(self._names))

    def _count(self) -> None:
        self._figures.server_ends = self._server.ends if self._server else 0.0
        self._figures.authority_ends = self._folder.authority.own.ends

    def _read(self) -> Certificate | None:
        path = self._folder.path / SERVER
        try:
            return Certificate.parse(path.read_bytes(), str(path))
        except (
            OSError,
            InvalidCertificate,
        ):  # it is made anew, and what is wrong with the folder is said then
            return None

    def _trusts(self, found: Certificate) -> bool:
        return any(found.is_signed_by(each) for each in self._folder.trusted) and set(found.names) == set(
            self._names
        )

    async def _publish(self) -> None:
        bundle, now = self._folder.bundle, self._clock()
        last = self._published
        if self._publisher is None or (last and last[0] == bundle and 0 <= now - last[1] < PUBLISH):
            return
        try:
            if await self._publisher.publish(bundle.decode("ascii")):
                log.info("the CA was published")
        except PlatformUnreachable as error:
            log.warning("agents cannot learn of the CA: %s", error)
            return
        self._published = bundle, now
