"""`recorder collector`: the service of a cluster."""

from __future__ import annotations

import argparse

from recorder.cli.arguments import Commands


def add_parser(commands: Commands, *, flags: bool) -> None:
    """Declares the command; its many flags only where it is the one that is asked for."""
    parser = commands.add_parser(
        "collector",
        help="the service of a cluster: ProfileRecordings in, profiles out",
        description="Take what agents record, and publish it as profiles: by ProfileRecordings of Kubernetes,"
        " or of a folder.",
    )
    parser.add_argument("--check", action="store_true", help="check the settings, and end")
    if flags:
        from recorder.collector.settings import SOURCES

        SOURCES.add_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    from recorder.cli.collector_process import run as run_collector

    return run_collector(options)
