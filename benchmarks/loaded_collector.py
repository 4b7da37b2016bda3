"""The process of a collector under load: the real one, as `recorder collector` runs it, on `LoadPlatform`.

python -m benchmarks.loaded_collector FOLDER CERTIFICATES AGENTS-PORT METRICS-PORT WORKLOADS
"""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path

from benchmarks.load_certificates import LoadCertificates
from benchmarks.load_platform import LoadPlatform
from recorder.cli.service_process import one_arena, say_to_stderr, serve, short_turns
from recorder.collector.collector import Collector
from recorder.collector.settings import (
    ListenSettings,
    MemorySettings,
    Settings,
    StoreSettings,
    WebSettings,
)

NODES = 8192


def settings(folder: Path, certificates: LoadCertificates, agents: int, metrics: int) -> Settings:
    """The defaults, but for places, and a bound that lets more agents in than the largest run has."""
    tls = certificates.server
    return Settings(
        listen=ListenSettings(
            socket=None,
            agents=f"127.0.0.1:{agents}",
            certificate=tls.certificate,
            key=tls.key,
            client_ca=tls.client_ca,
        ),
        web=WebSettings(plain_metrics=f"127.0.0.1:{metrics}"),
        store=StoreSettings(path=folder / "collector.db"),
        memory=MemorySettings(agents=NODES),
    )


def main(folder: str, certificates: str, agents: str, metrics: str, workloads: str) -> int:
    """Serve until SIGTERM."""
    say_to_stderr("loaded collector")
    one_arena()
    short_turns()
    made = settings(Path(folder), LoadCertificates(Path(certificates)), int(agents), int(metrics))
    platform = LoadPlatform(int(workloads))
    return asyncio.run(serve(lambda: Collector(made, platform), logging.getLogger(__name__), agents))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
