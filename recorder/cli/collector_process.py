"""The process of `recorder collector`: from its settings to its end by a signal."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from typing import TYPE_CHECKING

from recorder.cli.service_process import many_files, one_arena, say_to_stderr, serve, short_turns
from recorder.collector.settings import SOURCES, Settings

if TYPE_CHECKING:
    from recorder.collector.collector import Collector
    from recorder.collector.folders.platform import Folders

_LOG = logging.getLogger("recorder.collector")
OWN_FILES = 256
"""The store's, the platform's connections, handshakes that are not done, and what libraries have open."""


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    say_to_stderr("recorder collector")
    settings = SOURCES.load(options)
    if options.check:
        print("the settings are right")
        return 0
    one_arena()
    short_turns()
    many_files(settings.memory.agents + settings.memory.watches + OWN_FILES, _LOG)
    return asyncio.run(serve(lambda: _collector(settings), _LOG, places(settings)))


def places(settings: Settings) -> str:
    """Where it serves, for the log."""
    listen = settings.listen
    return " and ".join(str(each) for each in (listen.socket, listen.agents, listen.address) if each)


def folders(settings: Settings) -> Folders | None:
    """The platform, if it is two folders."""
    from recorder.collector.folders.platform import Folders

    where = settings.folders
    if not (where.recordings and where.results):
        return None
    state = settings.store.path.with_suffix(".recordings.json")
    return Folders(where.recordings, where.results, state, poll=where.poll)


def _collector(settings: Settings) -> Collector:
    from recorder.collector.collector import Collector, Enrolling

    found = folders(settings)
    if found:
        return Collector(settings, found)
    # 19 MiB that a collector of folders does not spend
    from recorder.kube.connection import connect
    from recorder.kube.platform import KubernetesPlatform
    from recorder.kube.reviews import KubernetesAuthority

    kubernetes, enrolment = settings.kubernetes, settings.enrolment
    client = connect(kubernetes.kubeconfig)
    platform = KubernetesPlatform(client, namespaces=kubernetes.namespaces, host=os.uname().nodename)
    enrolling = None
    if enrolment.address:
        from recorder.kube.agent_pods import AgentPods, AgentsAre
        from recorder.kube.trust import TrustMap

        namespace = enrolment.namespace or client.namespace
        agents = AgentsAre(namespace, enrolment.service_account, enrolment.daemon_set, enrolment.audience)
        enrolling = Enrolling(AgentPods(client, agents), TrustMap(client, namespace, enrolment.config_map))
    return Collector(settings, platform, KubernetesAuthority(client), enrolling)
