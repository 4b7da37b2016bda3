"""`recorder certs`: a CA and its certificates by hand, where no Kubernetes says who is who."""

from __future__ import annotations

import argparse
from pathlib import Path

from recorder.cli.arguments import Commands
from recorder.cli.status import DONE

CA_DAYS, DAYS = 3650, 365


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "certs",
        help="a CA and its certificates by hand, off Kubernetes",
        description="Make a CA, and certificates of it: for nodes' agents, for servers, and for clients. In"
        " Kubernetes the collector does this by itself.",
    )
    actions = parser.add_subparsers(dest="certs_action", metavar="ACTION", required=True)
    init = actions.add_parser("init", help="make a CA in a folder", description="Make a CA in a folder.")
    _add_folder(init)
    _add_days(init, CA_DAYS)
    issue = actions.add_parser(
        "issue",
        help="make a certificate",
        description="Make a certificate, with a new key; or of a request (PKCS #10), whose key stays where it"
        " is.",
    )
    _add_folder(issue)
    issue.add_argument(
        "--node", metavar="NODE", help="for that node's agent: its name to the collector, as a client"
    )
    issue.add_argument(
        "--server",
        action="append",
        default=[],
        metavar="NAME",
        help="for a server that is reached by that DNS name; may be repeated, and go with --node",
    )
    issue.add_argument(
        "--client",
        action="append",
        default=[],
        metavar="NAME",
        help="for a client with that URI or DNS name, as roles have it; may be repeated",
    )
    issue.add_argument("--request", type=Path, metavar="FILE", help="of this request, PEM; no key is made")
    issue.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="the certificate, PEM"
    )
    issue.add_argument("--key", type=Path, metavar="FILE", help="its new key, PEM, mode 0600")
    _add_days(issue, DAYS)
    rotate = actions.add_parser(
        "rotate",
        help="make a new CA beside the one that there is",
        description="Make a new CA, which signs from now on. The one before is trusted until it ends.",
    )
    _add_folder(rotate)
    _add_days(rotate, CA_DAYS)
    parser.set_defaults(run=run)


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="the CA's: its key (ca.pem), and what others trust (ca.crt)"
    )


def _add_days(parser: argparse.ArgumentParser, days: int) -> None:
    parser.add_argument(
        "--days", type=int, default=days, metavar="N", help=f"how long it holds (default: {days})"
    )


def run(options: argparse.Namespace) -> int:
    """Returns the exit status."""
    # a sixth of a second that other commands do not spend
    from recorder.cli import certs_actions

    getattr(certs_actions, options.certs_action)(options)
    return DONE
