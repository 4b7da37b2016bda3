"""`recorder check`: whether this machine, or a cluster, can record, and what to do if not."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from recorder.cli.arguments import Commands
from recorder.cli.machine import examine
from recorder.cli.status import ANSWER_IS_NO, DONE
from recorder.model.errors import UsageError
from recorder.model.finding import Finding


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "check",
        help="say whether this machine can record, and what to do if not",
        description="Say whether this machine can record, point by point, with what to do about each; with"
        " --cluster, whether a collector can work in a cluster: which kinds are installed and whose they are,"
        " whether another recorder works there, and whether the rights suffice.",
        epilog="status: 0 it can record; 1 it cannot",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument("--cluster", action="store_true", help="look at a cluster instead of this machine")
    parser.add_argument(
        "--kubeconfig",
        type=Path,
        metavar="FILE",
        help="with --cluster: how to reach it (default: the pod's service account, $KUBECONFIG or"
        " ~/.kube/config)",
    )
    parser.add_argument(
        "--account",
        metavar="NAMESPACE/NAME",
        help="with --cluster: the service account whose rights are looked at (default: your own), as"
        " profile-recorder/recorder-collector",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns 0 if all that is needed is there, else 1."""
    if options.cluster:
        return _say(_of_cluster(options), "this cluster", as_json=options.json)
    if options.kubeconfig or options.account:
        raise UsageError("--kubeconfig and --account go with --cluster")
    return _say(examine(), "this machine", as_json=options.json)


def _of_cluster(options: argparse.Namespace) -> list[Finding]:
    import asyncio

    from recorder.kube.connection import connect
    from recorder.kube.inspection import inspect

    account = None
    if options.account is not None:
        namespace, slash, name = options.account.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise UsageError(f"--account is {options.account!r}; it must be NAMESPACE/NAME")
        account = namespace, name

    async def look() -> list[Finding]:
        client = connect(options.kubeconfig)
        try:
            return await inspect(client, account)
        finally:
            await client.close()

    return asyncio.run(look())


def _say(findings: Sequence[Finding], what: str, *, as_json: bool) -> int:
    import json

    able = all(finding.good or not finding.needed for finding in findings)
    if as_json:
        points = [
            {
                "point": finding.point,
                "good": finding.good,
                "needed": finding.needed,
                "found": finding.found,
                "remedy": finding.remedy,
            }
            for finding in findings
        ]
        print(json.dumps({"can_record": able, "points": points}, indent=2))
        return DONE if able else ANSWER_IS_NO
    width = max(len(finding.point) for finding in findings)
    for finding in findings:
        mark = "ok" if finding.good else "MISSING" if finding.needed else "no"
        print(f"{mark:<8}{finding.point:<{width}}  {finding.found}")
        if not finding.good:
            print(f"{'':<8}{'':<{width}}  -> {finding.remedy}")
    print(f"{what} can record" if able else f"{what} cannot record: see MISSING above")
    return DONE if able else ANSWER_IS_NO
