"""The process of `recorder serve`: an agent and a collector in one event loop, a Unix socket between them."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.agent.budget import Budget
from recorder.agent.settings import Settings as AgentSettings
from recorder.agent.settings_sources import SOURCES as AGENT
from recorder.cli.agent_process import import_costs
from recorder.cli.collector_process import folders, places
from recorder.cli.service_process import one_arena, say_to_stderr, serve
from recorder.collector.settings import SOURCES as COLLECTOR
from recorder.collector.settings import FolderSettings
from recorder.collector.settings import Settings as CollectorSettings
from recorder.model.errors import InternalError, InvalidSettings, NotPermitted, StorageError, UsageError

if TYPE_CHECKING:
    from recorder.collector.folders.platform import Folders

_LOG = logging.getLogger("recorder.serve")


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    say_to_stderr("recorder serve")
    agent, collector = settings_of(options)
    budget = Budget(agent.memory, agent.denials, agent.accesses)
    budget.check()
    if options.check:
        print(budget.explain())
        return 0
    if os.geteuid() != 0:
        raise NotPermitted("the agent loads BPF programs and looks at all processes; run it as root")
    one_arena()
    for line in (*budget.explain().splitlines(), *import_costs()):
        _LOG.info("%s", line)
    where = " and ".join(str(each) for each in (agent.listen.socket, agent.listen.address) if each)
    return asyncio.run(serve(lambda: Both(agent, collector), _LOG, f"{where} and {places(collector)}"))


def settings_of(options: argparse.Namespace) -> tuple[AgentSettings, CollectorSettings]:
    """Both services' settings, each knowing of the other. Raises UsageError and InvalidSettings."""
    agent = AGENT.load(argparse.Namespace(), file=options.agent_config)
    collector = COLLECTOR.load(argparse.Namespace(), file=options.collector_config)
    given = collector.folders
    recordings, results = options.recordings or given.recordings, options.results or given.results
    if not (recordings and results):
        raise UsageError("the folders are missing: recorder serve --recordings DIR --results DIR")
    socket = collector.listen.socket
    if socket is None:
        raise InvalidSettings(
            "listen.socket of the collector is empty, and the agent needs it: give it a path"
        )
    if agent.collector.endpoint:
        raise InvalidSettings(
            f"the agent's collector.endpoint is {agent.collector.endpoint}, and `recorder serve` is a"
            " collector itself: take the setting away, or run `recorder agent`"
        )
    return (
        dataclasses.replace(agent, collector=dataclasses.replace(agent.collector, endpoint=f"unix:{socket}")),
        dataclasses.replace(collector, folders=FolderSettings(recordings, results, given.poll)),
    )


class Both:
    """As `Service`."""

    def __init__(self, agent: AgentSettings, collector: CollectorSettings) -> None:
        from recorder.agent.node_agent import NodeAgent

        self._folders = _folders(collector)
        # It gives up privileges, which comes before there are threads.
        self._agent = NodeAgent(agent)
        try:
            from recorder.collector.collector import Collector

            self._collector = Collector(collector, self._folders)
        except BaseException:
            self._agent.close()
            raise

    async def start(self) -> None:
        """As Service.start."""
        try:
            await self._collector.start()
        except BaseException:
            self._agent.close()
            raise
        try:
            await self._agent.start()
        except BaseException:
            await self._collector.stop()
            raise

    @property
    def failure(self) -> BaseException | None:
        """As Service.failure."""
        return self._agent.failure or self._collector.failure

    async def wait(self) -> None:
        """As Service.wait."""
        waiting = [asyncio.ensure_future(each.wait()) for each in (self._agent, self._collector)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def stop(self) -> None:
        """The agent first: the collector stores what it says at its end."""
        await self._agent.stop()
        await self._collector.stop()


def _folders(settings: CollectorSettings) -> Folders:
    found = folders(settings)
    if found is None:
        raise InternalError("there are no folders, and this was not refused with the settings")
    results = settings.folders.results
    if results is not None and not _writable_by_mode(results):
        raise StorageError(
            f"{results} is another user's, and the service writes with root's own rights alone (it gives up"
            " CAP_DAC_OVERRIDE): make the folder root's (chown root), or writable for its group root"
        )
    return found


def _writable_by_mode(folder: Path) -> bool:
    """Whether root may write in it without CAP_DAC_OVERRIDE."""
    status = folder.stat()
    if status.st_uid == 0:
        return bool(status.st_mode & stat.S_IWUSR)
    if status.st_gid in {0, *os.getgroups()}:
        return bool(status.st_mode & stat.S_IWGRP)
    return bool(status.st_mode & stat.S_IWOTH)
