"""The options that say where the collector is, and who asks it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

COLLECTOR = "unix:/run/recorder/collector.sock"


def add_collector_options(parser: argparse.ArgumentParser) -> None:
    """--collector, --ca and --token-file."""
    group = parser.add_argument_group("the collector")
    group.add_argument(
        "--collector",
        default=COLLECTOR,
        metavar="unix:PATH|HOST:PORT",
        help=f"where it is (default: {COLLECTOR})",
    )
    group.add_argument("--ca", metavar="FILE", help="over TCP: who signed the collector's certificate, PEM")
    group.add_argument("--token-file", metavar="FILE", help="over TCP: your Kubernetes token; - is stdin")
