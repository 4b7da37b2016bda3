"""A runtime that serves Kubernetes' Container Runtime Interface, runtime.v1 over its Unix socket.

Whatever it answers is data: a message that is none, of another container, or longer than MAX_MESSAGE is
a RuntimeUnreachable like no answer at all, and each call has a deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from recorder.containers import cri_answer
from recorder.containers.container import Container, Manager
from recorder.containers.cri_answer import Handlers, Sandbox
from recorder.containers.oci_runtime import UNRECORDABLE, RuntimeVersions, listener_pid
from recorder.containers.runtime.v1 import api_pb2 as pb
from recorder.containers.source import SourceStatus
from recorder.containers.text import TextBounds
from recorder.model.errors import RuntimeUnreachable

DEADLINE = 5.0
"""Seconds for one call."""
MAX_MESSAGE = 16 << 20
"""Bytes of one answer, as the kubelet has it."""

_OPTIONS: list[tuple[str, Any]] = [
    # gRPC would send the socket's path, which Go's HTTP/2 refuses as a host
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    # the default grows to two minutes: a runtime that restarts would be missed for as long
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
]
_SERVICE = "/runtime.v1.RuntimeService/"
_OLD = (
    "it does not serve the CRI's runtime.v1 (containerd 1.6, CRI-O 1.23 or later, with the CRI switched on)"
)

Answer = TypeVar("Answer", bound=Message)


class _NotFound(Exception):  # noqa: N818 -- an answer, not an error
    """The runtime knows no such container or sandbox."""


class _NotServed(Exception):  # noqa: N818
    """The runtime does not have the method."""


class CriSource:
    """One CRI endpoint. `unrecordable`: patterns of handlers that this kernel does not run.

    `limit`: of sandboxes remembered between calls.
    """

    def __init__(
        self,
        endpoint: Path,
        *,
        limit: int = 1024,
        deadline: float = DEADLINE,
        unrecordable: Sequence[str] = UNRECORDABLE,
        versions: RuntimeVersions | None = None,
    ) -> None:
        self.name = "cri"
        self.manager = Manager.CRI
        self._endpoint = endpoint
        self._limit = limit
        self._deadline = deadline
        self._patterns = tuple(unrecordable)
        self._versions = versions or RuntimeVersions()
        self._channel: grpc.aio.Channel | None = None
        self._meeting = asyncio.Lock()
        self._met = False
        self._changed = asyncio.Event()
        self._handlers = Handlers()
        self._daemon = 0
        self._sandboxes: dict[str, Sandbox] = {}
        self._text = TextBounds()
        self._status = SourceStatus(self.name, "", str(endpoint), False, "it was not asked yet")

    def status(self) -> SourceStatus:
        return self._status

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        self._met = False
        if channel is not None:
            await channel.close()

    # --- calls

    def _method(self, kind: str, name: str, answer: type[Answer]) -> Callable[..., Any]:
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(f"unix:{self._endpoint}", options=_OPTIONS)

        def read(data: bytes) -> Answer | None:
            try:
                return answer.FromString(data)
            except DecodeError:
                return None

        make = getattr(self._channel, kind)
        made: Callable[..., Any] = make(
            _SERVICE + name, request_serializer=_written, response_deserializer=read
        )
        return made

    async def _call(self, name: str, request: Message, answer: type[Answer]) -> Answer:
        try:
            # gRPC's own deadline is the server's too; the other one holds whatever gRPC does
            async with asyncio.timeout(self._deadline + 1):
                got = await self._method("unary_unary", name, answer)(request, timeout=self._deadline)
        except TimeoutError:
            raise self._unreachable(f"{name}: no answer in {self._deadline:g} s") from None
        except grpc.aio.AioRpcError as error:
            code = error.code()
            if code == grpc.StatusCode.NOT_FOUND:
                raise _NotFound from None
            if code == grpc.StatusCode.UNIMPLEMENTED:
                raise _NotServed from None
            raise self._unreachable(self._problem(name, error)) from None
        if got is None:
            raise self._unreachable(f"{name}: its answer is not a message of runtime.v1")
        return got  # type: ignore[no-any-return]

    def _problem(self, name: str, error: grpc.aio.AioRpcError) -> str:
        details = self._text.text(error.details() or "no reason given")
        return f"{name}: {error.code().name}: {details}"

    def _unreachable(self, problem: str) -> RuntimeUnreachable:
        self._met = False
        old = self._status
        self._status = SourceStatus(
            self.name, old.version, old.endpoint, False, self._text.text(problem), old.handlers
        )
        return self._error(problem)

    def _error(self, problem: str) -> RuntimeUnreachable:
        return RuntimeUnreachable(
            f"the container runtime at {self._endpoint} does not answer as it should: {problem}; "
            "see whether it runs, and its log"
        )

    async def _meet(self) -> bool:
        """Ask who it is, where that is not known or it was away; False: it is no CRI runtime."""
        async with self._meeting:
            if self._met:
                return True
            try:
                version = await self._call("Version", pb.VersionRequest(version="v1"), pb.VersionResponse)
            except (_NotServed, _NotFound):
                self._unreachable(_OLD)
                return False
            try:
                status = await self._call("Status", pb.StatusRequest(verbose=True), pb.StatusResponse)
                self._handlers = cri_answer.handlers_of(status)
            except (_NotServed, _NotFound):
                self._handlers = Handlers()
            self._daemon = await asyncio.to_thread(listener_pid, self._endpoint)
            known = self._text.text(f"{version.runtime_name} {version.runtime_version}".strip())
            if known != self._status.version:
                self._changed.set()
                self._changed = asyncio.Event()
            names = sorted(self._handlers.by_name)[: self._limit]
            handlers = tuple(self._text.text(name) for name in names)
            self._status = SourceStatus(self.name, known, str(self._endpoint), True, "", handlers)
            self._met = True
            return True

    # --- what the index asks

    async def list(self) -> list[Container]:
        if not await self._meet():
            return []
        try:
            # Sandboxes last: those of all containers in the list are there then.
            containers = await self._call(
                "ListContainers", pb.ListContainersRequest(), pb.ListContainersResponse
            )
            sandboxes = await self._call(
                "ListPodSandbox", pb.ListPodSandboxRequest(), pb.ListPodSandboxResponse
            )
        except (_NotServed, _NotFound) as error:
            raise self._unreachable(f"it cannot list: {type(error).__name__.strip('_')}") from None
        by_id = {each.id: cri_answer.sandbox_of(each) for each in sandboxes.items if each.id}
        self._sandboxes = dict(list(by_id.items())[: self._limit])
        found = [
            cri_answer.sandbox_container_of(each, self._handlers, self._patterns)
            for each in by_id.values()
            if each.ready
        ]
        for message in containers.containers:
            sandbox = by_id.get(message.pod_sandbox_id)
            if message.id and sandbox and message.state in (pb.CONTAINER_CREATED, pb.CONTAINER_RUNNING):
                found.append(cri_answer.container_of(message, sandbox, self._handlers, self._patterns))
        return found

    async def find(self, container_id: str) -> Container | None:
        if not await self._meet():
            return None
        try:
            answer = await self._call(
                "ContainerStatus",
                pb.ContainerStatusRequest(container_id=container_id, verbose=True),
                pb.ContainerStatusResponse,
            )
        except _NotFound:
            return await self._find_sandbox(container_id)
        except _NotServed:
            raise self._unreachable("it has no ContainerStatus") from None
        if answer.status.id != container_id:
            raise self._unreachable(f"ContainerStatus: asked for {container_id}, it told of another one")
        info = cri_answer.info_of(answer.info)
        try:
            sandbox = await self._sandbox(info.sandbox_id or await self._sandbox_id(container_id))
        except _NotFound:  # the container went meanwhile, and its sandbox with it
            return None
        found = cri_answer.container_of(answer.status, sandbox, self._handlers, self._patterns, info)
        return await self._with_version(found, sandbox, info)

    async def _find_sandbox(self, container_id: str) -> Container | None:
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=container_id, verbose=True)
        try:
            answer = await self._call("PodSandboxStatus", request, pb.PodSandboxStatusResponse)
        except _NotFound:
            return None
        except _NotServed:
            raise self._unreachable("it has no PodSandboxStatus") from None
        if answer.status.id != container_id:
            raise self._unreachable(f"PodSandboxStatus: asked for {container_id}, it told of another one")
        sandbox, info = cri_answer.sandbox_of(answer.status), cri_answer.info_of(answer.info)
        found = cri_answer.sandbox_container_of(sandbox, self._handlers, self._patterns, info)
        return await self._with_version(found, sandbox, info)

    async def _with_version(self, found: Container, sandbox: Sandbox, info: cri_answer.Info) -> Container:
        if found.not_recordable:
            return found
        if not Path(f"/proc/{self._daemon}").exists():  # it was restarted between two calls
            self._daemon = await asyncio.to_thread(listener_pid, self._endpoint)
        program = cri_answer.program_of(sandbox, info, self._handlers)
        version = await self._versions.version(self._daemon, program)
        return found.with_runtime_version(version)

    async def _sandbox_id(self, container_id: str) -> str:
        """By a list, where the runtime's own JSON did not tell: ContainerStatus has no field for it."""
        request = pb.ListContainersRequest(filter=pb.ContainerFilter(id=container_id))
        try:
            answer = await self._call("ListContainers", request, pb.ListContainersResponse)
        except _NotServed:
            raise self._unreachable("it has no ListContainers") from None
        for each in answer.containers:
            if each.id == container_id:
                return each.pod_sandbox_id
        raise _NotFound

    async def _sandbox(self, sandbox_id: str) -> Sandbox:
        known = self._sandboxes.get(sandbox_id)
        if known is not None:
            return known
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox_id)
        try:
            answer = await self._call("PodSandboxStatus", request, pb.PodSandboxStatusResponse)
        except _NotServed:
            raise self._unreachable("it has no PodSandboxStatus") from None
        if answer.status.id != sandbox_id:
            raise self._unreachable(f"PodSandboxStatus: asked for {sandbox_id}, it told of another one")
        if len(self._sandboxes) >= self._limit:
            del self._sandboxes[next(iter(self._sandboxes))]
        sandbox = self._sandboxes[sandbox_id] = cri_answer.sandbox_of(answer.status)
        return sandbox

    async def watch(self) -> AsyncIterator[None]:
        """GetContainerEvents (containerd 1.7, CRI-O 1.26); without it, waits for another version of it."""
        if not await self._meet():
            raise self._error(_OLD)
        changed = self._changed
        call = self._method("unary_stream", "GetContainerEvents", pb.ContainerEventResponse)
        events = call(pb.GetEventsRequest())
        try:
            async for _ in events:  # an event that is no message is still a sign
                yield
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                # whether the runtime serves is for the other calls to say
                raise self._error(self._problem("GetContainerEvents", error)) from None
            await changed.wait()
        finally:
            events.cancel()


def _written(message: Message) -> bytes:
    return message.SerializeToString()
