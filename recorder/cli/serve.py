"""`recorder serve`: agent and collector of a single machine, with folders instead of Kubernetes."""

from __future__ import annotations

import argparse
from pathlib import Path

from recorder.cli.arguments import Commands


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "serve",
        help="record this machine's containers by a folder of ProfileRecordings",
        description="Record the containers of this machine that the ProfileRecordings in a folder select, and"
        " write their profiles into another folder, as long as they run. It is `recorder agent` and"
        " `recorder collector` in one process; both have their settings.",
    )
    parser.add_argument(
        "--recordings", type=_absolute, metavar="DIR", help="the folder of ProfileRecordings, as YAML"
    )
    parser.add_argument(
        "--results", type=_absolute, metavar="DIR", help="the folder for profiles and statuses"
    )
    parser.add_argument(
        "--agent-config", type=Path, metavar="FILE", help="the agent's settings (/etc/recorder/agent.toml)"
    )
    parser.add_argument(
        "--collector-config",
        type=Path,
        metavar="FILE",
        help="the collector's settings (/etc/recorder/collector.toml)",
    )
    parser.add_argument("--check", action="store_true", help="check the settings, show the budget, and end")
    parser.set_defaults(run=run)


def _absolute(text: str) -> Path:
    return Path(text).absolute()


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    from recorder.cli.serve_process import run as run_both

    return run_both(options)
