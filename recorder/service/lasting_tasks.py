"""The tasks that keep a service going: none of them should end before it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

__all__ = ["LastingTasks"]


class LastingTasks:
    """Of one service, in its event loop."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Future[None]] = []

    def start(self, *work: Awaitable[None]) -> None:
        """From now on, until `stop`."""
        self._tasks += (asyncio.ensure_future(each) for each in work)

    @property
    def running(self) -> bool:
        """Whether none has ended."""
        return not any(task.done() for task in self._tasks)

    @property
    def failure(self) -> BaseException | None:
        """Why one ended that never should."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                return _first(error)
        return None

    async def wait(self) -> None:
        """Until one ends. Raises what it raised."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        failure = self.failure
        if failure:
            raise failure

    async def stop(self) -> None:
        """Ends all. May be repeated."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _first(error: BaseException) -> BaseException:
    """Of a group, which a TaskGroup raises: its first error, which the others came of."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
