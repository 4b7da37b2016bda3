"""The signals that a recording or a capture takes instead of dying of them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

# What another process sends the recorder is meant for COMMAND. What the terminal sends
# goes to the whole foreground group, COMMAND included, by itself.
FORWARDED = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
WATCHED = FORWARDED | {signal.SIGCHLD}

Mask = set[int]


@contextlib.contextmanager
def blocked() -> Iterator[Mask]:
    """Blocks WATCHED; gives the mask from before, which a started program must get back.

    What came until the end was for the recording: an impatient second Ctrl-C must not
    cost the result, so it is discarded.
    """
    before: Mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED))
    try:
        yield before
    finally:
        while signal.sigtimedwait(WATCHED, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Ending:
    """While it is entered, the signals that end a program call what `calls` set, and else nothing."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._callback: Callable[[], None] | None = None
        self._came = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Ending:
        for number in self.NUMBERS:
            self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextlib.contextmanager
    def calls(self, callback: Callable[[], None]) -> Iterator[None]:
        """In a running event loop: each signal calls it there, one that came before as well."""
        import asyncio

        self._loop, self._callback = asyncio.get_running_loop(), callback
        if self._came:
            callback()
        try:
            yield
        finally:
            self._loop = self._callback = None

    def _receive(self, _number: int, _frame: object) -> None:
        self._came += 1
        if self._loop and self._callback:
            self._loop.call_soon_threadsafe(self._callback)
