"""The process of `recorder agent`: from its settings to its end by a signal."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import gc
import importlib
import logging
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from recorder.agent.budget import Budget
from recorder.agent.settings_sources import load
from recorder.model.errors import NotPermitted

if TYPE_CHECKING:
    from recorder.agent.settings import Settings

_LOG = logging.getLogger("recorder.agent")

BIG_IMPORTS = ("grpc", "recorder.rpc.server", "recorder.agent.node_agent")
"""Whose cost the log says at the start."""


_M_ARENA_MAX = -8  # mallopt(3)


def _one_arena() -> None:
    """One heap for all threads: each thread's own costs as much again, and they do little."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="recorder agent: %(levelname)s: %(message)s"
    )
    settings = load(options)
    budget = Budget(settings.memory)
    budget.check()
    if options.check:
        print(budget.explain())
        return 0
    if os.geteuid() != 0:
        raise NotPermitted("the agent loads BPF programs and looks at all processes; run it as root")
    _one_arena()
    costs = _import()
    if options.remove:
        from recorder.agent.node_agent import remove

        remove(settings)
        return 0
    for line in (*budget.explain().splitlines(), *costs):
        _LOG.info("%s", line)
    return asyncio.run(_serve(settings))


def _import() -> list[str]:
    """What each large import costs, one line each."""
    import psutil

    process = psutil.Process()
    lines = []
    for name in BIG_IMPORTS:
        began, before = time.monotonic(), process.memory_info().rss
        importlib.import_module(name)
        size = (process.memory_info().rss - before) / (1 << 20)
        lines.append(f"import {name}: {size:.1f} MiB, {time.monotonic() - began:.2f} s")
    return lines


async def _serve(settings: Settings) -> int:
    from recorder.agent.node_agent import NodeAgent

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    agent = NodeAgent(settings)
    await agent.start()
    # Nothing that is there now will ever go: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    where = " and ".join(str(each) for each in (settings.listen.socket, settings.listen.address) if each)
    _LOG.info("serving on %s", where or "no address; the collector is all")
    failed = asyncio.create_task(agent.wait())
    told = asyncio.create_task(stop.wait())
    await asyncio.wait((failed, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    failed.cancel()
    await agent.stop()
    failure = agent.failure
    if failure:
        raise failure
    _LOG.info("ended")
    return 0
