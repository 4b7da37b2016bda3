"""The process of `recorder agent`: from its settings to its end by a signal."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import time

from recorder.agent.budget import Budget
from recorder.agent.settings_sources import SOURCES
from recorder.cli.service_process import one_arena, say_to_stderr, serve
from recorder.model.errors import NotPermitted, UsageError

_LOG = logging.getLogger("recorder.agent")

BIG_IMPORTS = ("grpc", "recorder.rpc.server", "recorder.agent.node_agent")
"""Whose cost the log says at the start."""


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    say_to_stderr("recorder agent")
    if options.remove_spool and not options.remove:
        raise UsageError("--remove-spool goes with --remove")
    settings = SOURCES.load(options)
    budget = Budget(settings.memory, settings.denials, settings.accesses)
    budget.check()
    if options.check:
        print(budget.explain())
        return 0
    if os.geteuid() != 0:
        raise NotPermitted("the agent loads BPF programs and looks at all processes; run it as root")
    if options.remove:
        from recorder.agent.removal import remove

        print(*(remove(settings, spool=options.remove_spool) or ["nothing was left"]), sep="\n")
        return 0
    one_arena()
    costs = import_costs()
    for line in (*budget.explain().splitlines(), *costs):
        _LOG.info("%s", line)
    from recorder.agent.node_agent import NodeAgent

    where = " and ".join(str(each) for each in (settings.listen.socket, settings.listen.address) if each)
    return asyncio.run(serve(lambda: NodeAgent(settings), _LOG, where or "no address; the collector is all"))


def import_costs() -> list[str]:
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
