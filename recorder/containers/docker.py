"""Docker, over its Unix socket (Docker Engine API 1.24 and later); Podman's service speaks it as well.

Containers of Kubernetes are the CRI's, also where Docker runs them: no pod is named from labels here.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from recorder.containers.container import Container, Manager
from recorder.containers.cri_answer import image_digest_of
from recorder.containers.oci_runtime import UNRECORDABLE, RuntimeVersions, handler_name, listener_pid
from recorder.containers.source import SourceStatus
from recorder.containers.text import TextBounds
from recorder.model.errors import RuntimeUnreachable

DEADLINE = 5.0
"""Seconds for one request."""
MAX_ANSWER = 16 << 20
"""Bytes of one answer."""

_EVENTS = "/events?filters=%7B%22type%22%3A%5B%22container%22%5D%7D"  # {"type":["container"]}
_ID = re.compile("[0-9a-f]{64}")
_IMAGES_KEPT = 256
_HEADERS = 64 << 10


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, endpoint: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._endpoint = endpoint

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._endpoint))


class DockerSource:
    """One Docker daemon, or Podman's service with `manager` PODMAN."""

    def __init__(
        self,
        endpoint: Path,
        *,
        manager: Manager = Manager.DOCKER,
        deadline: float = DEADLINE,
        unrecordable: Sequence[str] = UNRECORDABLE,
        versions: RuntimeVersions | None = None,
    ) -> None:
        self.name = str(manager)
        self.manager = manager
        self._endpoint = endpoint
        self._deadline = deadline
        self._patterns = tuple(unrecordable)
        self._versions = versions or RuntimeVersions()
        self._components: dict[str, str] = {}
        self._images: dict[str, str] = {}
        self._text = TextBounds()
        self._met = False
        self._daemon = 0
        self._status = SourceStatus(self.name, "", str(endpoint), False, "it was not asked yet")

    def status(self) -> SourceStatus:
        return self._status

    async def close(self) -> None:
        """Nothing is kept open but by `watch`, which ends with its task."""

    # --- requests

    def _unreachable(self, problem: str) -> RuntimeUnreachable:
        self._met = False
        problem = self._text.text(problem)
        self._status = SourceStatus(self.name, self._status.version, str(self._endpoint), False, problem)
        return self._error(problem)

    def _error(self, problem: str) -> RuntimeUnreachable:
        return RuntimeUnreachable(
            f"{self.name} at {self._endpoint} does not answer as it should: {problem}; "
            "see whether it runs, and its log"
        )

    def _request(self, path: str) -> tuple[int, bytes]:
        connection = _Connection(self._endpoint, self._deadline)
        # A server that sends a byte now and then would never meet a socket's own timeout.
        alarm = threading.Timer(self._deadline * 2, lambda: _shut(connection))
        alarm.start()
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read(MAX_ANSWER + 1)
        finally:
            alarm.cancel()
            connection.close()

    async def _get(self, path: str) -> Any:
        """The JSON of an answer; None: it is 404, not found."""
        try:
            status, body = await asyncio.to_thread(self._request, path)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(f"GET {path}: {type(error).__name__} {error}".strip()) from None
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        if status != http.HTTPStatus.OK or len(body) > MAX_ANSWER:
            raise self._unreachable(f"GET {path}: status {status}, {len(body)} bytes")
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise self._unreachable(f"GET {path}: the answer is no JSON") from None

    async def _meet(self) -> None:
        if self._met:
            return
        found = await self._get("/version")
        if not isinstance(found, dict):
            raise self._unreachable("GET /version: no answer of Docker's API")
        components = found.get("Components")
        self._components = {}
        for each in components if isinstance(components, list) else []:
            if name := _text(each, "Name"):
                self._components[name] = _text(each, "Version")
        self._daemon = await asyncio.to_thread(listener_pid, self._endpoint)
        version = self._text.text(f"{self.name} {_text(found, 'Version')}".strip())
        self._status = SourceStatus(self.name, version, str(self._endpoint), True)
        self._met = True

    # --- what the index asks

    async def list(self) -> list[Container]:
        await self._meet()
        found = await self._get("/containers/json")
        if not isinstance(found, list):
            raise self._unreachable("GET /containers/json: the answer is no list")
        containers = []
        for each in found:
            container_id = _text(each, "Id")
            names = each.get("Names") if isinstance(each, dict) else None
            name = names[0] if isinstance(names, list) and names and isinstance(names[0], str) else ""
            if _ID.fullmatch(container_id):
                containers.append(
                    Container(
                        container_id,
                        name.lstrip("/"),
                        self.manager,
                        labels=_labels(each.get("Labels")),
                        image=_text(each, "Image"),
                    )
                )
        return containers

    async def find(self, container_id: str) -> Container | None:
        if not _ID.fullmatch(container_id):  # it goes into a path
            return None
        await self._meet()
        found = await self._get(f"/containers/{container_id}/json")
        if found is None:
            return None
        if not _is_object(found) or found.get("Id") != container_id:
            raise self._unreachable(f"asked for {container_id}, it told of another container, or of none")
        state, config, host = found.get("State"), found.get("Config"), found.get("HostConfig")
        handler = _text(host, "Runtime") or _text(found, "OCIRuntime")
        not_recordable = handler_name(self._patterns, handler)
        runtime = handler.rpartition("/")[2]
        version = self._components.get(runtime, "")
        if runtime and not version and not not_recordable:
            version = await self._versions.version(self._daemon, handler)
        image = _text(found, "Image")
        return Container(
            container_id,
            _text(found, "Name").lstrip("/"),
            self.manager,
            labels=_labels(config.get("Labels") if isinstance(config, dict) else None),
            image=_text(config, "Image"),
            image_digest=await self._digest(image),
            runtime=runtime,
            runtime_version=version,
            runtime_handler=handler,
            restart_count=_count(found.get("RestartCount")),
            pid=_count(state.get("Pid")) if isinstance(state, dict) else 0,
            not_recordable=not_recordable,
        )

    async def _digest(self, image: str) -> str:
        """The digest of the repository that the image came from, else the image's own."""
        image_id = image if image.startswith("sha256:") else f"sha256:{image}"
        if image_digest_of(image_id) != image_id:
            return ""
        if image_id not in self._images:
            found = await self._get(f"/images/{image_id}/json")
            digests = found.get("RepoDigests") if isinstance(found, dict) else None
            known = [image_digest_of(each) for each in digests or [] if isinstance(each, str)]
            if len(self._images) >= _IMAGES_KEPT:
                self._images.clear()
            self._images[image_id] = next(filter(None, known), image_id)
        return self._images[image_id]

    async def watch(self) -> AsyncIterator[None]:
        """GET /events, of which only that something came is used; whether it serves is for others to say."""
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._endpoint), limit=_HEADERS)
        except OSError as error:
            raise self._error(f"GET /events: {error}") from None
        try:
            writer.write(f"GET {_EVENTS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            async with asyncio.timeout(self._deadline):
                await writer.drain()
                head = await reader.readuntil(b"\r\n")
            if b" 200 " not in head:
                raise self._error(f"GET /events: {head[:100].decode('utf-8', 'replace').strip()}")
            while await reader.read(_HEADERS):
                yield
        except (OSError, EOFError, asyncio.LimitOverrunError, TimeoutError) as error:
            raise self._error(f"GET /events: {type(error).__name__} {error}".strip()) from None
        finally:
            writer.close()


def _shut(connection: _Connection) -> None:
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


def _is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _text(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0


def _labels(value: Any) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}
