"""Docker's API, made up of answers on a real Unix socket.

The shapes are those of Docker Engine's API reference 1.24 to 1.4x: /version, /containers/json,
/containers/ID/json, /images/ID/json, /events.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = {
    "Version": "24.0.7",
    "ApiVersion": "1.43",
    "Components": [{"Name": "Engine", "Version": "24.0.7"}, {"Name": "runc", "Version": "1.1.9"}],
}


SILENCE = object()


@dataclass
class FakeDocker:
    """`answers` by path: something for JSON, bytes as the whole response, SILENCE for none. Else 404."""

    socket: Path
    answers: dict[str, Any] = field(default_factory=lambda: {"/version": VERSION, "/containers/json": []})
    has_events: bool = True
    requests: list[str] = field(default_factory=list)
    listeners: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    def add(self, identity: str, name: str, **more: Any) -> None:
        image = more.pop("Image", f"sha256:{'e' * 64}")
        config = {"Image": "web:1", "Labels": {"app": "web"}}
        self.answers["/containers/json"].append(
            {"Id": identity, "Names": [f"/{name}"], "Image": "web:1", "Labels": {"app": "web"}}
        )
        self.answers[f"/containers/{identity}/json"] = {
            "Id": identity,
            "Name": f"/{name}",
            "Image": image,
            "Config": config,
            "State": {"Status": "running", "Pid": 77},
            "RestartCount": 2,
            "HostConfig": {"Runtime": "runc"},
        } | more

    def tell(self) -> None:
        """An event to all who listen, as a chunk of a chunked answer."""
        event = b'{"Type":"container","Action":"start"}\n'
        for writer in self.listeners:
            writer.write(b"%x\r\n%s\r\n" % (len(event), event))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with contextlib.suppress(OSError, EOFError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split()[1]
            self.requests.append(path)
            if path.startswith("/events") and self.has_events:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                self.listeners.add(writer)
                await reader.read()  # until the client goes
                self.listeners.discard(writer)
            else:
                answer = self.answers.get(path, b"")
                if answer is SILENCE:
                    await asyncio.Event().wait()
                writer.write(self._response(path, answer))
                await writer.drain()
        writer.close()

    def _response(self, path: str, answer: Any) -> bytes:
        if path not in self.answers:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"
        if isinstance(answer, bytes):
            return answer
        body = json.dumps(answer).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.socket))

    async def stop(self) -> None:
        if self._server:
            self._server.close()
            for writer in self._writers:
                writer.close()
            await self._server.wait_closed()
        self.socket.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def docker(socket: Path) -> AsyncIterator[FakeDocker]:
    """A fake that serves within the `async with`."""
    fake = FakeDocker(socket)
    await fake.start()
    try:
        yield fake
    finally:
        await fake.stop()
