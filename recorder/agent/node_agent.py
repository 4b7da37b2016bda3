"""The agent of a node, put together: started, served, ended in order, or left for the next one."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc

from recorder import __version__
from recorder.agent import denials, privileges
from recorder.agent.abilities import Abilities
from recorder.agent.access_opener import agent_opener as access_opener
from recorder.agent.accesses import AccessReader
from recorder.agent.budget import Budget, Use, access_bounds_of, bounds_of, denial_bounds_of, task_bounds_of
from recorder.agent.capture_snapshots import CaptureSnapshots
from recorder.agent.capture_stream import CaptureStreams
from recorder.agent.captures import Captures
from recorder.agent.denial_opener import agent_opener
from recorder.agent.figures import Distributions
from recorder.agent.observation import boot_id
from recorder.agent.plan import plan_of
from recorder.agent.processes import Processes
from recorder.agent.reports import Reports
from recorder.agent.runtimes import runtimes
from recorder.agent.service import AgentService
from recorder.agent.settings import Settings
from recorder.agent.spool import Spool
from recorder.agent.state import Found, State, StateFile
from recorder.agent.status import Status
from recorder.agent.tracker import Tracker
from recorder.agent.uplink import Uplink
from recorder.containers.cgroup import cgroup2_mount
from recorder.containers.index import ContainerIndex
from recorder.kernel import pins
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import syscalls_spec
from recorder.model.errors import InternalError, LimitReached, PinMismatch, RecorderError
from recorder.rpc.limits import Limits
from recorder.rpc.roles import Access, Roles
from recorder.rpc.server import Listening, Server
from recorder.rpc.tls import TlsFiles, channel_credentials
from recorder.rpc.v1 import agent_pb2, agent_pb2_grpc, collector_pb2
from recorder.service.lasting_tasks import LastingTasks
from recorder.service.web import Client, WebServer, metrics_server, probe_server

if TYPE_CHECKING:
    from recorder.agent.enrolment import Enrolment

__all__ = ["NodeAgent"]

_LOG = logging.getLogger(__name__)

FLUSH = 3.0
"""Seconds that the collector has at the end to store what it lacks."""
PLAN_WAIT = 60.0
"""Seconds that slots are kept for a plan of the collector's after the last agent's was lost."""
SPARE, SPARE_BYTES = 16, 64 << 10
"""Calls, and bytes of a request, beyond the bounds: for those that are told that they are beyond."""
SERVICE = "recorder.rpc.v1.Agent"


class NodeAgent:
    """To be made, started and ended in one event loop. Raises RecorderErrors; then nothing is left."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.budget = Budget(settings.memory, settings.denials, settings.accesses)
        self.budget.check()
        self._use = Use(self.budget)
        memory, agent = settings.memory, settings.agent
        self._spool = Spool(agent.spool_directory, memory.spool)
        self._state_file = StateFile(agent.state_directory, boot_id())
        self._loaded = self._state_file.load()
        self._backend = self._open()
        self._denials = denials.Denials(
            agent_opener(denial_bounds_of(memory)) if settings.denials else None,
            agent.pins,
            raw_paths=agent.raw_paths,
        )
        self._denials.prepare()
        self._accesses = AccessReader(
            access_opener(self._backend, access_bounds_of(memory)) if settings.accesses else None,
            agent.pins,
            raw_paths=agent.raw_paths,
        )
        self._accesses.prepare()
        if self._accesses.problem:
            _LOG.warning("what containers use cannot be seen: %s", self._accesses.problem)
        accesses = self._accesses if settings.accesses else None
        self._abilities = Abilities(self._denials if settings.denials else None, accesses)
        # Before anything makes a thread: each has its own.
        missing = privileges.drop(privileges.needed(self._denials.source))
        if missing:
            _LOG.warning("capabilities are missing: %s", ", ".join(each.name for each in missing))
        sources, discover = runtimes(settings.runtimes, memory.containers)
        self._index = ContainerIndex(
            sources, limit=memory.containers, poll_seconds=settings.runtimes.poll, discover=discover
        )
        self._tracker = Tracker(
            self._backend,
            self._index,
            self._spool,
            self._use,
            node=agent.node,
            mount=cgroup2_mount(),
            denials=self._denials,
            accesses=self._accesses,
        )
        self._processes = Processes(
            task_bounds_of(memory, denials=settings.denials), agent.pins, self._use, node=agent.node
        )
        self._reports = Reports(self._spool, self._index, agent.node)
        self._reports.attach(self._tracker)
        self._captures = Captures(
            self._tracker,
            self._processes,
            self._index,
            self._spool,
            use=self._use,
            save=self._save,
            most=memory.captures,
            denials=settings.denials,
            accesses=accesses,
            kept=memory.accesses,
        )
        self._plan = collector_pb2.Plan()
        self._enrolment = self._make_enrolment()
        self._uplink = self._make_uplink()
        self._distributions = Distributions()
        streams = CaptureStreams(
            self._captures,
            CaptureSnapshots(self._tracker, self._processes),
            self._use,
            settings.capture.snapshots_per_second,
            memory.message,
            self._distributions,
        )
        self._status = Status(
            self._tracker,
            self._index,
            self._captures,
            self._reports,
            spool=self._spool,
            use=self._use,
            node=agent.node,
            loader=self._backend.loader,
            streams=streams,
            uplink=self._uplink_status,
            abilities=self._abilities,
        )
        self._roles = Roles.parse({name: _role(each) for name, each in settings.roles.items()})
        self._service = AgentService(self._captures, streams, self._status, self._index, self._roles)
        self._server: Server | None = None
        self._web: list[WebServer] = []
        self._serving = False
        self._tasks = LastingTasks()
        self._stale = asyncio.Event()
        self._tracker.on_change.append(self._stale)
        self._saving = asyncio.Lock()
        self._next_save: asyncio.Future[None] | None = None
        self._planned = asyncio.Event()

    # --- the kernel side

    def _open(self) -> LibbpfBackend:
        """Adopts what the last agent left; what cannot be adopted is a loss, and goes."""
        folder = self.settings.agent.pins
        spec = syscalls_spec(bounds_of(self.settings.memory, denials=self.settings.denials))
        self._adopted = False
        if (folder / pins.MAPS).is_dir():
            try:
                backend = LibbpfBackend(spec, adopt=folder, denied=False)
            except PinMismatch as error:
                _LOG.error("what the last agent recorded is lost: %s", error)
                pins.unpin(folder)
            else:
                self._adopted = True
                _LOG.info("adopted %d slots of the last agent", len(backend.targets()))
                return backend
        else:
            pins.unpin(folder)  # what one that was killed while it pinned has left
        backend = LibbpfBackend(spec, denied=False)
        try:
            backend.pin(folder)
        except BaseException:
            backend.close()
            raise
        return backend

    # --- start and end

    async def start(self) -> None:
        """Goes on with what the last agent left, and serves."""
        try:
            await self._restore()
            self._tasks.start(self._index.run(), self._tracker.run(), self._captures.run(), self._save_all())
            self._tasks.start(self._processes.run(), self._reports.run())
            self._tasks.start(self._look())
            self._web = self._make_web()
            for web in self._web:
                await web.start()
            self._server = self._make_server()
            await self._server.start()
            if self._enrolment:
                self._tasks.start(self._enrolment.run())
            if self._uplink:
                self._tasks.start(self._connect(self._uplink))
            await self._server.set_serving(True)
        except BaseException:
            await self._stop_tasks()
            self._close(keep=True)
            raise
        self._serving = True

    def close(self) -> None:
        """Instead of `start`: nothing is left but what the last agent left."""
        self._close(keep=self._adopted)
        if not self._adopted:
            pins.unpin(self.settings.agent.pins)

    def _close(self, *, keep: bool = False) -> None:
        """The kernel side, but for what is pinned; keep: that goes on."""
        self._denials.close(keep=keep)
        self._accesses.close(keep=keep)  # before the backend: it shares its maps
        self._backend.close()

    async def _restore(self) -> None:
        state = self._loaded.state
        if self._loaded.found is not Found.WHOLE and self._backend.targets():
            _LOG.error("slots were adopted, and the state that says whose they are is %s", self._loaded.found)
        self._tracker.inherited = self._loaded.ledger(adopted=bool(self._backend.targets()))
        self._tracker.adopt(state.targets, state.accesses_since_ns)
        self._processes.adopt()
        await self._captures.restore(state.captures)
        if state.plan:
            await self._take_plan(state.plan)
        entries = self._spool.entries()
        while entry := await asyncio.to_thread(next, entries, None):  # one in memory at a time
            for capture in entry.captures:
                if not self._captures.keep(capture, entry.observation):
                    await asyncio.to_thread(self._spool.settle, entry.key, capture=capture)
            if entry.recordings:
                self._reports.resume(entry.key)
        self._use.set("spool", self._spool.bytes)
        if self._uplink and self._loaded.found is Found.DAMAGED:
            # Whose the adopted slots are only the collector can say now.
            asyncio.get_running_loop().call_later(PLAN_WAIT, self._tracker.restored)
        else:
            self._tracker.restored()

    @property
    def ready(self) -> bool:
        """Whether it serves, and all that keeps it going runs."""
        return self._serving and self._tasks.running

    @property
    def failure(self) -> BaseException | None:
        """Why a part of it ended that never should."""
        return self._tasks.failure

    async def wait(self) -> None:
        """Until a part of it fails. Raises what it raised."""
        await self._tasks.wait()

    async def stop(self) -> None:
        """In order, within seconds: to the next agent (keep_armed), or with nothing left."""
        self._serving = False
        self._service.stop()
        if not self.settings.agent.keep_armed:
            await self._tracker.finish()
            await self._processes.finish()
        if self._server:
            await self._server.stop(1)
        if self._uplink:
            await self._uplink.close(FLUSH)
        await self._stop_tasks()
        await self._reports.flush()
        folder = self.settings.agent.pins
        if self.settings.agent.keep_armed:
            await self._save()
            self._processes.detach()
            self._close(keep=True)
            return
        self._close()
        pins.unpin(folder)
        async with self._saving:
            self._state_file.remove()

    async def _stop_tasks(self) -> None:
        for web in self._web:
            await web.stop()
        await self._tasks.stop()

    # --- what the next agent needs

    async def _save(self) -> None:
        # Who comes while one is under way has the next one, together with all others that came. Who
        # waits may be cancelled, the thread cannot: the lock is held until it is done.
        if self._next_save is None:
            self._next_save = asyncio.ensure_future(self._save_locked())
        await asyncio.shield(self._next_save)

    async def _save_locked(self) -> None:
        async with self._saving:
            self._next_save = None
            plan = self._plan if self._plan.recordings or self._plan.revision else None
            state = State(
                self._captures.states(), plan, self._tracker.states(), self._tracker.accesses_since_ns
            )
            await asyncio.to_thread(self._state_file.save, state)

    async def _save_all(self) -> None:
        """After each change of whose slots there are, and not more often than ten times a second."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            try:
                await self._save()
            except RecorderError as error:
                _LOG.error("%s", error)
            await asyncio.sleep(0.1)

    async def _look(self) -> None:
        """What the plan wants and cannot have."""
        while True:
            await self._planned.wait()
            await asyncio.sleep(1)
            self._reports.look(self._tracker.failed)

    # --- the collector

    async def _take_plan(self, message: collector_pb2.Plan) -> None:
        try:
            plan = plan_of(message, self.settings.memory.recordings)
        except LimitReached:
            self._use.refuse("recordings")
            raise
        self._plan = message
        self._reports.plan = plan
        if plan.recordings:
            self._planned.set()
        else:
            self._planned.clear()
            self._reports.look({})
        await self._save()
        await self._tracker.changed(self._reports)
        if self._serving:
            self._tracker.restored()
        _LOG.info("plan %s: %d recordings", plan.revision, len(plan.recordings))

    async def _connect(self, uplink: Uplink) -> None:
        if self._enrolment:  # the first connection does not wait for a backoff
            await self._enrolment.enrolled.wait()
        await uplink.run()

    def _uplink_status(self) -> agent_pb2.UplinkStatus:
        status = self._uplink.status() if self._uplink else agent_pb2.UplinkStatus()
        if self._enrolment:
            status.certificate_ends = int(self._enrolment.ends)
            status.problem = "; ".join(filter(None, (self._enrolment.problem, status.problem)))
        return status

    def _make_enrolment(self) -> Enrolment | None:
        asked, ca = self.settings.enrolment, self.settings.collector.ca
        if not asked.endpoint:
            return None
        if ca is None:
            raise InternalError("enrolment without a CA was not refused with the settings")
        # memory that an agent without it does not spend
        from recorder.agent.enrolment import Enrolment  # noqa: PLC0415

        return Enrolment(asked.endpoint, asked.token, ca, self.settings.agent.node)

    def _make_uplink(self) -> Uplink | None:
        collector = self.settings.collector
        if not collector.endpoint:
            return None
        credentials: Callable[[], grpc.ChannelCredentials | None]
        if self._enrolment:
            credentials = self._enrolment.credentials
        elif collector.endpoint.startswith("unix:"):
            credentials = _no_credentials
        elif collector.certificate and collector.key and collector.ca:
            files = TlsFiles(collector.certificate, collector.key)
            credentials = functools.partial(channel_credentials, files, collector.ca)
        else:
            raise InternalError("a collector without certificates was not refused with the settings")
        return Uplink(
            collector.endpoint,
            credentials,
            self._hello,
            self._reports,
            self._take_plan,
            options=(("grpc.max_receive_message_length", self.settings.memory.message),),
        )

    def _hello(self) -> collector_pb2.Hello:
        return collector_pb2.Hello(
            node=self.settings.agent.node,
            boot_id=boot_id(),
            recorder_version=__version__,
            kernel_release=os.uname().release,
            machine=os.uname().machine,
            loader=self._backend.loader,
            kinds=self._abilities.kinds,
            bounds=[each.to_message() for each in self._use.bounds()],
            runtimes=self._status.runtimes(),
            plan_revision=self._reports.plan.revision,
            problems=self._abilities.problems,
            modules=self._abilities.modules,
        )

    # --- serving

    def _make_server(self) -> Server:
        listen, memory = self.settings.listen, self.settings.memory
        limits = Limits(
            receive_bytes=memory.request + SPARE_BYTES,
            request_bytes=memory.request,
            send_bytes=memory.message + (64 << 10),
            connections=memory.streams + SPARE,
            calls=memory.streams + SPARE,
            calls_of_peer=max(1, memory.streams // 4),
            calls_in_all=memory.streams,
        )
        add = functools.partial(agent_pb2_grpc.add_AgentServicer_to_server, self._service)
        where = Listening(
            listen.socket, listen.address, self._tls(), reflection=listen.reflection, limits=limits
        )
        server = Server({SERVICE: add}, where)
        self._status.calls = server.calls
        return server

    def _make_web(self) -> list[WebServer]:
        web, found = self.settings.web, []
        if web.metrics_address or web.plain_metrics:
            # 5 MiB that an agent without metrics does not spend
            from recorder.agent.metrics import Metrics  # noqa: PLC0415

            render = Metrics(self._status, self._distributions).render
        if web.address:
            found.append(
                probe_server(web.address, healthy=lambda: self.failure is None, ready=lambda: self.ready)
            )
        if web.metrics_address:
            found.append(
                metrics_server(web.metrics_address, render, tls=self._tls(), allows=self._may_scrape)
            )
        if web.plain_metrics:
            found.append(metrics_server(web.plain_metrics, render))
        return found

    async def _may_scrape(self, client: Client) -> bool:
        return Access.of(client.peer, self._roles).may_status()

    def _tls(self) -> TlsFiles | None:
        listen = self.settings.listen
        if not (listen.certificate and listen.key):
            return None
        return TlsFiles(listen.certificate, listen.key, listen.client_ca)


def _no_credentials() -> None:
    """Of a Unix socket, whose path root alone can serve on."""


def _role(role: object) -> dict[str, object]:
    names = ("capture", "host", "plan", "status")
    values = {name: getattr(role, name) for name in names}
    values["capture"] = "*" if "*" in values["capture"] else list(values["capture"])
    return values
