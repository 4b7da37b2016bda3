"""A CRI runtime made up of answers: containers and sandboxes that a test sets, over a real Unix socket.

Each answer may be replaced by bytes, by a status code, or by waiting for ever: what a runtime that is
down, slow or out of its mind does.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio

from recorder.containers.runtime.v1 import api_pb2 as pb

SERVICE = "/runtime.v1.RuntimeService/"
Reply = bytes | grpc.StatusCode | None  # None: never


def hex_id(number: int) -> str:
    """A container id."""
    return f"{number:064x}"


@dataclass
class FakeCri:
    """What the runtime knows, and how it answers. `calls` counts the requests by method."""

    socket: Path
    name: str = "containerd"
    version: str = "1.7.0"
    sandboxes: dict[str, pb.PodSandbox] = field(default_factory=dict)
    containers: dict[str, pb.Container] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    info: dict[str, dict] = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    has_events: bool = True
    replies: dict[str, Callable[[bytes], Awaitable[Reply]]] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    streams: int = 0
    _server: grpc.aio.Server | None = None
    _events: set[asyncio.Queue] = field(default_factory=set)

    # --- what it knows

    def add_sandbox(
        self, number: int, name: str, namespace: str = "a", handler: str = "", **labels: str
    ) -> str:
        identity = hex_id(number)
        own = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace}
        self.sandboxes[identity] = pb.PodSandbox(
            id=identity,
            metadata=pb.PodSandboxMetadata(name=name, namespace=namespace, uid=f"uid-{name}"),
            labels=own | labels,
            runtime_handler=handler,
        )
        self.pids[identity] = 1000 + number
        return identity

    def add_container(self, number: int, sandbox: str, name: str, attempt: int = 0, **more) -> str:
        identity = hex_id(number)
        more.setdefault("state", pb.CONTAINER_RUNNING)
        more.setdefault("image", pb.ImageSpec(image="docker.io/library/web:1"))
        more.setdefault("image_ref", f"docker.io/library/web@sha256:{'d' * 64}")
        self.containers[identity] = pb.Container(
            id=identity,
            pod_sandbox_id=sandbox,
            metadata=pb.ContainerMetadata(name=name, attempt=attempt),
            **more,
        )
        self.pids[identity] = 1000 + number
        return identity

    def tell(self) -> None:
        """An event to all who listen."""
        for queue in self._events:
            queue.put_nowait(pb.ContainerEventResponse(container_id="x").SerializeToString())

    # --- how it answers

    def _info(self, identity: str, sandbox: str = "") -> dict[str, str]:
        told = {"pid": self.pids.get(identity, 0), "runtimeType": "io.containerd.runc.v2"}
        if sandbox:
            told["sandboxID"] = sandbox
        told |= self.info.get(identity, {})
        return {"info": json.dumps(told)}

    async def _answer(self, method: str, data: bytes) -> Reply:
        if method in self.replies:
            return await self.replies[method](data)
        made = getattr(self, f"_{method}")(data)
        return made if made is None or isinstance(made, grpc.StatusCode) else made.SerializeToString()

    def _Version(self, data: bytes):
        return pb.VersionResponse(version="0.1.0", runtime_name=self.name, runtime_version=self.version)

    def _Status(self, data: bytes):
        return pb.StatusResponse(info={"config": json.dumps(self.config)})

    def _ListPodSandbox(self, data: bytes):
        return pb.ListPodSandboxResponse(items=self.sandboxes.values())

    def _ListContainers(self, data: bytes):
        wanted = pb.ListContainersRequest.FromString(data).filter.id
        found = [each for each in self.containers.values() if each.id.startswith(wanted)]
        return pb.ListContainersResponse(containers=found)

    def _PodSandboxStatus(self, data: bytes):
        identity = pb.PodSandboxStatusRequest.FromString(data).pod_sandbox_id
        known = self.sandboxes.get(identity)
        if known is None:
            return grpc.StatusCode.NOT_FOUND
        status = pb.PodSandboxStatus(
            id=identity,
            metadata=known.metadata,
            state=known.state,
            labels=known.labels,
            runtime_handler=known.runtime_handler,
        )
        return pb.PodSandboxStatusResponse(status=status, info=self._info(identity))

    def _ContainerStatus(self, data: bytes):
        identity = pb.ContainerStatusRequest.FromString(data).container_id
        known = self.containers.get(identity)
        if known is None:
            return grpc.StatusCode.NOT_FOUND
        status = pb.ContainerStatus(
            id=identity,
            metadata=known.metadata,
            state=known.state,
            image=known.image,
            image_ref=known.image_ref,
            labels=known.labels,
        )
        return pb.ContainerStatusResponse(status=status, info=self._info(identity, known.pod_sandbox_id))

    # --- the server

    async def start(self) -> None:
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers([_Handler(self)])
        self._server.add_insecure_port(f"unix:{self.socket}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server:
            await self._server.stop(0)
            self._server = None

    async def unary(self, method: str, data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.calls[method] = self.calls.get(method, 0) + 1
        reply = await self._answer(method, data)
        if reply is None:
            await asyncio.Event().wait()
        if isinstance(reply, grpc.StatusCode):
            await context.abort(reply, f"{method} of a fake")
        return reply

    async def events(self, data: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        if not self.has_events:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown method GetContainerEvents")
        queue: asyncio.Queue = asyncio.Queue()
        self._events.add(queue)
        self.streams += 1
        try:
            while True:
                yield await queue.get()
        finally:
            self._events.discard(queue)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, fake: FakeCri) -> None:
        self._fake = fake

    def service(self, details):
        method = details.method.removeprefix(SERVICE)
        if method == "GetContainerEvents":
            return grpc.unary_stream_rpc_method_handler(self._fake.events)

        async def unary(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
            return await self._fake.unary(method, data, context)

        return grpc.unary_unary_rpc_method_handler(unary)


@contextlib.asynccontextmanager
async def serving(socket: Path, **what) -> AsyncIterator[FakeCri]:
    """A fake that serves within the `async with`."""
    fake = FakeCri(socket, **what)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()


def always(reply: Reply) -> Callable[[bytes], Awaitable[Reply]]:
    """The same reply to every request."""

    async def answer(_: bytes) -> Reply:
        return reply

    return answer


async def until(what: Callable[[], object], seconds: float = 10) -> None:
    """Wait for something to be true; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.005)
