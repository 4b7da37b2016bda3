"""The collector, put together: store, service, publisher and pages around one platform."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recorder import __version__
from recorder.collector.agents.connection import ConnectionBounds
from recorder.collector.agents.ingest import IngestBounds
from recorder.collector.people.authority import Authority
from recorder.collector.people.records import RecordsBounds
from recorder.collector.platform import Platform
from recorder.collector.results.publisher import Publisher
from recorder.collector.results.result_policy import ResultPolicy
from recorder.collector.service import (
    NAME,
    CollectorService,
    ServiceBounds,
    agent_limits,
    people_limits,
)
from recorder.collector.settings import Settings
from recorder.collector.store.async_store import AsyncStore
from recorder.collector.store.bounds import StoreBounds, StoreFigures
from recorder.model.errors import (
    AccessDenied,
    InternalError,
    LimitReached,
    PlatformUnreachable,
    RecorderError,
    Unreachable,
)
from recorder.rpc.peer import dns_name, uri_name
from recorder.rpc.server import Listening, Server
from recorder.rpc.tls import TlsFiles
from recorder.service.lasting_tasks import LastingTasks
from recorder.service.web import Client, WebServer, metrics_server, probe_server

if TYPE_CHECKING:
    from recorder.collector.agents.enrolment import NodeAuthority
    from recorder.collector.identity import CollectorIdentity, TrustPublisher

__all__ = ["Collector", "Enrolling"]

FIGURES = 5.0
"""Seconds for which the store's figures are used again: counting reads the heads of all its rows."""
LAST_CALLS = 1.0
"""Seconds that people's calls have at the end."""


@dataclass(frozen=True, slots=True)
class Enrolling:
    """What the platform does for enrolment: it vouches for agents, and tells them of the CA."""

    nodes: NodeAuthority
    trust: TrustPublisher


class Collector:
    """To be made, started and ended in one event loop. Raises RecorderErrors; then nothing is left.

    authority: who says what people may read; None: nobody but root, by the Unix socket.
    enrolling: needed where the settings have an address for enrolment.
    """

    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        authority: Authority | None = None,
        enrolling: Enrolling | None = None,
    ) -> None:
        self.settings = settings
        self._platform = platform
        self._authority = authority
        self._enrolling = enrolling
        self._identity: CollectorIdentity | None = None
        self._enrolment: Server | None = None
        self._parts: _Parts | None = None
        self._store: AsyncStore | None = None
        self._servers: list[Server] = []
        self._web: list[WebServer] = []
        self._tasks = LastingTasks()
        self._serving = False
        self._readers = frozenset(uri_name(each) or dns_name(each) for each in settings.web.metrics_readers)

    # --- start and end

    async def start(self) -> None:
        """Goes on with what is in the store, and serves."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        self._serving = True

    async def _start(self) -> None:
        store = self.settings.store
        bounds = StoreBounds(
            bytes=store.size,
            sightings=store.sightings,
            node_sightings=store.node_sightings,
            node_accesses=store.node_accesses,
        )
        self._store = await AsyncStore.open(store.path, bounds, set_aside=store.set_aside_damaged)
        parts = self._parts = _Parts(self.settings, self._store, self._platform, self._authority)
        self._begin_identity(parts.service)
        self._tasks.start(
            parts.service.run(), parts.publisher.run(), self._platform.run(parts.recordings_changed)
        )
        self._web = self._make_web(parts)
        for web in self._web:
            await web.start()
        self._servers = self._make_servers(parts.service)
        for server in self._servers:
            await server.start()
            await server.set_serving(True)

    def _begin_identity(self, service: CollectorService) -> None:
        settings, enrolling = self.settings.enrolment, self._enrolling
        if not settings.address:
            return
        if enrolling is None:
            raise InternalError("enrolment was asked for, and nobody can vouch for agents")
        # 9 MiB that a collector without a CA does not spend
        from recorder.collector.identity import CollectorIdentity, Lives  # noqa: PLC0415
        from recorder.identity.authority import Certificate  # noqa: PLC0415
        from recorder.identity.authority_folder import AuthorityFolder, Mounted  # noqa: PLC0415

        mounted = None
        if settings.ca_certificate and settings.ca_key:
            mounted = Mounted(settings.ca_certificate, settings.ca_key)
        lives = Lives(settings.life, settings.ca_life)
        folder = AuthorityFolder.open(settings.directory, time.time(), life=lives.authority, mounted=mounted)
        self._identity = CollectorIdentity(
            folder, settings.server_names, lives, enrolling.trust, service.figures
        )
        self._identity.begin()
        service.certificate_ends = lambda pem: Certificate.parse(pem, "an agent's certificate").ends
        self._tasks.start(self._identity.run())

    @property
    def ready(self) -> bool:
        """Whether it is known which recordings there are, and all that keeps it going runs."""
        known = self._parts is not None and self._parts.service.ready.is_set()
        return self._serving and known and self._tasks.running

    @property
    def failure(self) -> BaseException | None:
        """Why a part of it ended that never should."""
        return self._tasks.failure

    async def wait(self) -> None:
        """Until a part of it fails. Raises what it raised."""
        await self._tasks.wait()

    async def stop(self) -> None:
        """In order, within seconds. What agents have not been told is stored they send to the next one."""
        self._serving = False
        if self._parts:
            self._parts.service.stop()
        await asyncio.gather(*(server.stop(LAST_CALLS) for server in self._servers))
        for web in self._web:
            await web.stop()
        await self._tasks.stop()
        if self._store:
            await self._store.close()
            self._store = None

    # --- serving

    def _make_servers(self, service: CollectorService) -> list[Server]:
        listen, servers = self.settings.listen, []
        services = {NAME: service.add_to_server}
        if listen.socket or listen.address:
            where = Listening(
                listen.socket,
                listen.address,
                self._tls() if listen.address else None,
                reflection=listen.reflection,
                tokens=True,
                limits=people_limits(),
            )
            servers.append(Server(services, where))
        if listen.agents:
            where = Listening(
                tcp=listen.agents,
                tls=self._tls(),
                reflection=listen.reflection,
                limits=agent_limits(self.settings.memory.agents),
            )
            servers.append(Server(services, where))
        if self._identity and self._enrolling:
            servers.append(self._make_enrolment(self._identity, self._enrolling, service))
        return servers

    def _make_enrolment(
        self, identity: CollectorIdentity, enrolling: Enrolling, service: CollectorService
    ) -> Server:
        from recorder.collector.agents import enrolment  # noqa: PLC0415 -- as the identity

        pattern = self.settings.collector.node_names[0]
        made = enrolment.EnrolmentService(enrolling.nodes, identity, pattern, service.figures)
        where = Listening(
            tcp=self.settings.enrolment.address,
            tls=identity.files,
            tokens=True,
            limits=enrolment.enrolment_limits(),
        )
        self._enrolment = Server({enrolment.NAME: made.add_to_server}, where)
        return self._enrolment

    def _make_web(self, parts: _Parts) -> list[WebServer]:
        web, found = self.settings.web, []
        if web.address:
            found.append(
                probe_server(web.address, healthy=lambda: self.failure is None, ready=lambda: self.ready)
            )
        if not (web.metrics_address or web.plain_metrics):
            return found
        # 5 MiB that a collector without metrics does not spend
        from recorder.collector.metrics import CollectorFigures, CollectorMetrics  # noqa: PLC0415

        memory = self.settings.memory

        async def figures() -> CollectorFigures:
            if self._enrolment:
                calls, counted = self._enrolment.calls, parts.service.figures.enrolments
                counted["full"], counted["too_large"] = calls.refused, calls.refused_requests
            return CollectorFigures(
                service=parts.service.figures,
                store=await parts.store_figures(),
                publisher=parts.publisher.figures(),
                ready=self.ready,
                problem=bool(self._platform.problem),
                recordings=len(self._platform.recordings()),
                refused=len(self._platform.refused()),
                agents=memory.agents,
                pending_bytes=memory.pending,
                watches=memory.watches,
            )

        render = CollectorMetrics(figures).render
        if web.metrics_address:
            found.append(
                metrics_server(
                    web.metrics_address,
                    render,
                    tls=self._tls(),
                    allows=self._may_scrape,
                    tokens=self._authority is not None,
                )
            )
        if web.plain_metrics:
            found.append(metrics_server(web.plain_metrics, render))
        return found

    async def _may_scrape(self, client: Client) -> bool:
        if self._readers.intersection(client.peer.names):
            return True
        if not client.token or self._parts is None:
            return False
        reviews = self._parts.service.reviews
        try:
            return await reviews.may_scrape(await reviews.viewer(client.token))
        except AccessDenied:
            return False
        except (Unreachable, LimitReached) as error:
            raise PlatformUnreachable(str(error)) from error

    def _tls(self) -> TlsFiles:
        if self._identity:
            return self._identity.files
        listen = self.settings.listen
        if not (listen.certificate and listen.key):
            raise InternalError("TLS without certificates was not refused with the settings")
        return TlsFiles(listen.certificate, listen.key, listen.client_ca)


class _Parts:
    """What is made around an open store."""

    def __init__(
        self, settings: Settings, store: AsyncStore, platform: Platform, authority: Authority | None
    ) -> None:
        memory, collector = settings.memory, settings.collector
        self._store = store
        self._counted: tuple[float, StoreFigures] | None = None
        self.service = CollectorService(
            store,
            platform,
            authority,
            ServiceBounds(
                agents=memory.agents,
                node_names=collector.node_names,
                connection=ConnectionBounds(window=memory.window),
                ingest=IngestBounds(pending_bytes=memory.pending),
                records=RecordsBounds(
                    watches=memory.watches,
                    watches_of_person=memory.watches_of_person,
                    recheck_seconds=collector.recheck,
                ),
            ),
            changed=self._sightings_changed,
        )
        self.publisher = Publisher(
            store,
            platform,
            _policy(settings),
            version=__version__,
            connected=lambda: self.service.nodes,
            changed=self._records_changed,
            store_full=lambda: self.service.figures.full,
            left_out=self.service.why_left_out,
            abilities=self.service.abilities,
        )

    def recordings_changed(self) -> None:
        """As `Platform.run` calls it."""
        self.publisher.recordings_changed()
        self.service.recordings_changed()

    def _sightings_changed(self, recordings: frozenset[str]) -> None:
        self.publisher.sightings_changed(recordings)

    def _records_changed(self, recordings: frozenset[str] | None) -> None:
        self.service.records_changed(recordings)
        if recordings is None:  # saved, deleted or forgotten in the store
            self.service.recordings_changed()

    async def store_figures(self) -> StoreFigures | None:
        """Of the last seconds; None: the store cannot be asked."""
        now = time.monotonic()
        if self._counted is None or now - self._counted[0] > FIGURES:
            try:
                self._counted = now, await self._store.figures()
            except RecorderError:
                return None
        return self._counted[1]


def _policy(settings: Settings) -> ResultPolicy:
    results = settings.results
    return ResultPolicy(
        namespace_prefix=results.namespace_prefix,
        of_recording=results.of_recording,
        settle=results.settle,
        first_write=results.first_write,
        last_write=results.last_write,
        accept_unconfirmed=results.accept_unconfirmed,
        lost=results.lost,
        linger=results.linger,
    )
