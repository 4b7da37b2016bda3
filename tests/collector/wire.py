"""A wire between agents and a collector that can be cut: a forwarder of TCP on the loopback."""

import asyncio
import contextlib

__all__ = ["Wire"]

CHUNK = 64 << 10


class Wire:
    """Used in one event loop. `port`: where to connect instead of `target`."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._whole = True
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        """Forward from now on."""
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """All connections break, and new ones are closed at once."""
        self._whole = False
        for each in list(self._open):
            each.transport.abort()

    async def mend(self) -> None:
        """New connections go through again."""
        self._whole = True

    async def close(self) -> None:
        """For good."""
        await self.cut()
        if self._server:
            self._server.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            if not self._whole:
                return
            other, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(there)
            done, left = await asyncio.wait(
                [asyncio.create_task(_pump(reader, there)), asyncio.create_task(_pump(other, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
            for each in left:
                each.cancel()
            await asyncio.gather(*done, *left, return_exceptions=True)
        except OSError:
            pass  # the collector is down: so is the wire
        finally:
            for each in (writer, there):
                if each:
                    self._open.discard(each)
                    each.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
