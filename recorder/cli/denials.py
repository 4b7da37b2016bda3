"""`recorder denials`: what filters, AppArmor or SELinux deny containers, by the node's agent."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from recorder.cli.agent_options import add_agent_options
from recorder.cli.seconds import check_seconds
from recorder.cli.selection import add_selection, selection
from recorder.cli.signals import Ending
from recorder.cli.status import DONE
from recorder.model.errors import Interrupted, RecorderError

if TYPE_CHECKING:
    from recorder.cli.arguments import Commands
    from recorder.cli.selection import Selection
    from recorder.model.record import Record
    from recorder.rpc.v1 import agent_pb2 as pb

RECONNECT_FOR = 60.0
LOOK = 1.0
"""Seconds in which an agent finds what is selected and says what it knows."""
SNAPSHOTS_PER_SECOND = 4.0

EPILOG = """\
status: 0 also after Ctrl-C, SIGTERM or --duration; 3 the agent could not be asked, or was lost.
"""


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "denials",
        help="show what containers are denied, by seccomp filters, AppArmor or SELinux",
        description="Show what seccomp filters, AppArmor or SELinux deny containers, or would: of all of the "
        "node's, or of what is selected. Without --watch: what is known now, which is nothing for containers "
        "that nobody asked about before. The agent looks for denials if its setting agent.denials is auto.",
        usage="recorder denials [OPTIONS] [--container ID-OR-NAME | --pod NAMESPACE/NAME[/CONTAINER] | "
        "--cgroup PATH | --unit NAME | --pid PID]",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_selection(parser)
    parser.add_argument("--watch", action="store_true", help="go on, and show each denial when it comes")
    parser.add_argument("--json", action="store_true", help="a line of JSON for each denial")
    parser.add_argument(
        "--duration", type=float, metavar="S", help=f"end after S seconds (default: {LOOK:g}; --watch: never)"
    )
    parser.add_argument(
        "--reconnect-for",
        type=float,
        default=RECONNECT_FOR,
        metavar="S",
        help=f"if the agent is lost, try to find it again for so many seconds (default: {RECONNECT_FOR:g})",
    )
    add_agent_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns 0; raises RecorderError."""
    import asyncio

    chosen = selection(options)
    check_seconds(options, "duration", "reconnect_for")
    with Ending() as ending:
        asyncio.run(_show(options, chosen, ending))
    return DONE


async def _show(options: argparse.Namespace, chosen: Selection | None, ending: Ending) -> None:
    from recorder.cli.agent_connection import AgentConnection
    from recorder.cli.capture_session import CaptureSession
    from recorder.cli.denial_stream import DenialStream

    stream = DenialStream(json=options.json, live=options.watch)
    session = CaptureSession(
        lambda: AgentConnection(options),
        _request(options, chosen),
        stream,
        reconnect_for=options.reconnect_for,
    )
    failure: RecorderError | None = None
    try:
        with ending.calls(session.end):
            await session.run()
    except Interrupted:
        return  # before the agent had begun: there is nothing to show
    except RecorderError as error:
        failure = error
    stream.finish(session.record)
    _say_unwatched(session.record)
    if failure:
        raise failure


def _say_unwatched(record: Record) -> None:
    """What a person would else take for "nothing was denied"."""
    counts = record.ledger.counts
    looked = {each.provenance.denials for each in record.observations} - {""}
    if counts.get("denials_unwatched"):
        print(
            f"recorder: looked for: {'; '.join(sorted(looked)) or 'nothing'}; see the agent's log for why not"
            " for the rest",
            file=sys.stderr,
        )
    if counts.get("denials_late"):
        print(
            "recorder: nobody had asked about some of these containers before: earlier denials are not known",
            file=sys.stderr,
        )


def _request(options: argparse.Namespace, chosen: Selection | None) -> pb.CaptureRequest:
    from recorder.cli.capture_request import capture_request
    from recorder.rpc.v1 import agent_pb2 as pb

    duration = options.duration or (None if options.watch else LOOK)
    request = capture_request(options.agent, chosen, duration=duration, rate=SNAPSHOTS_PER_SECOND)
    request.kinds.append(pb.KIND_DENIALS)
    return request
