"""`recorder agent`: the service of a node."""

from __future__ import annotations

import argparse

from recorder.cli.arguments import Commands


def add_parser(commands: Commands, *, flags: bool) -> None:
    """Declares the command; its many flags only where it is the one that is asked for."""
    parser = commands.add_parser(
        "agent",
        help="the service of a node: records containers by plan and on request",
        description="Serve recordings of this node: by a plan, and on request (recorder capture).",
    )
    parser.add_argument(
        "--remove",
        action="store_true",
        help="remove what any agent left on this machine (pins, state, sockets), say what it was, and end",
    )
    parser.add_argument(
        "--remove-spool",
        action="store_true",
        help="with --remove: also records that no collector has acknowledged",
    )
    parser.add_argument("--check", action="store_true", help="check the settings, show the budget, and end")
    if flags:
        from recorder.agent.settings_sources import SOURCES

        SOURCES.add_flags(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    from recorder.cli.agent_process import run as run_agent

    return run_agent(options)
