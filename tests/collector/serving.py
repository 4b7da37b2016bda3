"""A collector's service in a thread of its own, for tests that run commands beside it."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.collector.ground import WAIT, Certificates, Ground, ground


@dataclass
class Serving:
    """`ground` is to be used in its loop alone: by `do`."""

    ground: Ground
    loop: asyncio.AbstractEventLoop

    def do(self, work: Callable[[Ground], Awaitable[Any] | Any]) -> Any:
        """Something in the collector's loop; its result."""

        async def run() -> Any:
            made = work(self.ground)
            return await made if asyncio.iscoroutine(made) else made

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(WAIT)

    @property
    def unix(self) -> str:
        """As `--collector` takes it."""
        return f"unix:{self.ground.socket}"

    @property
    def tcp(self) -> str:
        """The port for people."""
        return f"localhost:{self.ground.people.tcp_port}"

    @property
    def agents(self) -> str:
        """The port for agents."""
        return f"localhost:{self.ground.agents.tcp_port}"


@contextlib.contextmanager
def serving(certificates: Certificates, folder: Path, **more: Any) -> Iterator[Serving]:
    """A collector that serves; stopped at the end. `more`: as `ground` takes it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(WAIT)

    stack = contextlib.AsyncExitStack()
    try:

        async def begin() -> Ground:
            return await stack.enter_async_context(ground(certificates, folder, **more))

        try:
            yield Serving(do(begin()), loop)
        finally:
            do(stack.aclose())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(WAIT)
        loop.close()
