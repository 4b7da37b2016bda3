"""The process of a service: from its start to its end by a signal, or by a part of it that fails."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import resource
import signal
import sys
from collections.abc import Callable
from typing import Protocol

__all__ = ["Service", "many_files", "one_arena", "say_to_stderr", "serve", "short_turns"]

_M_ARENA_MAX = -8  # mallopt(3)


class Service(Protocol):
    """What `serve` needs of one."""

    @property
    def failure(self) -> BaseException | None:
        """Why a part of it ended that never should."""

    async def start(self) -> None:
        """Serve."""

    async def wait(self) -> None:
        """Until a part of it fails. Raises what it raised."""

    async def stop(self) -> None:
        """End in order."""


def say_to_stderr(name: str) -> None:
    """The log, with the command's name in front."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=f"{name}: %(levelname)s: %(message)s")


def one_arena() -> None:
    """One heap for all threads: each thread's own costs as much again, and they do little."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)


def many_files(wanted: int, log: logging.Logger) -> None:
    """As many open files as this process may have: each connection is one, and 1,024 is a usual bound.

    Says in the log when they are fewer than `wanted`.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if most != resource.RLIM_INFINITY and most < wanted:
        log.warning(
            "this process may have %d open files, and with all the connections that its settings allow it"
            " needs %d: raise its hard limit (LimitNOFILE=, ulimit -Hn)",
            most,
            wanted,
        )


def short_turns() -> None:
    """Half a millisecond until a thread that computes lets the others on, not five.

    The store's thread has to ask for its turn after each row that SQLite gives it: beside a busy event
    loop a commit of 128 reports took 340 ms, and takes 215 ms.
    """
    sys.setswitchinterval(0.0005)


def _give_back() -> None:
    """Half a MiB of what the start took and freed, which glibc keeps (malloc_trim(3)).

    Another libc has no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)


async def serve(service: Callable[[], Service], log: logging.Logger, where: str) -> int:
    """Make the service in this event loop, and run it until SIGTERM or SIGINT; the exit status.

    Raises what made a part of it fail. `where`: it serves there, for the log.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    made = service()
    await made.start()
    # Nothing that is there now will ever go: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    _give_back()
    log.info("serving on %s", where)
    failed = asyncio.create_task(made.wait())
    told = asyncio.create_task(stop.wait())
    await asyncio.wait((failed, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    failed.cancel()
    await asyncio.gather(failed, return_exceptions=True)
    await made.stop()
    if made.failure:
        raise made.failure
    log.info("ended")
    return 0
