"""The options that say where the agent is, and how to be trusted by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

AGENT = "unix:/run/recorder/agent.sock"


def add_agent_options(parser: argparse.ArgumentParser) -> None:
    """--agent, --certificate, --key and --ca."""
    group = parser.add_argument_group("the agent")
    group.add_argument(
        "--agent", default=AGENT, metavar="unix:PATH|HOST:PORT", help=f"where it is (default: {AGENT})"
    )
    group.add_argument("--certificate", metavar="FILE", help="over TCP: the client's certificate, PEM")
    group.add_argument("--key", metavar="FILE", help="over TCP: its key, PEM")
    group.add_argument("--ca", metavar="FILE", help="over TCP: who signed the agent's certificate, PEM")
