"""`recorder check`: whether this machine can record, and what to do if not."""

from __future__ import annotations

import argparse

from recorder.cli.arguments import Commands
from recorder.cli.machine import examine
from recorder.cli.status import ANSWER_IS_NO, DONE


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "check",
        help="say whether this machine can record, and what to do if not",
        description="Say whether this machine can record, point by point, with what to do about each.",
        epilog="status: 0 it can record; 1 it cannot",
    )
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns 0 if all that is needed is there, else 1."""
    import json

    findings = examine()
    able = all(finding.good or not finding.needed for finding in findings)
    if options.json:
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
    print("this machine can record" if able else "this machine cannot record: see MISSING above")
    return DONE if able else ANSWER_IS_NO
