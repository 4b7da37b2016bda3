"""`recorder capture`: what an agent sees of containers, as a profile."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from recorder.cli.agent_options import add_agent_options
from recorder.cli.denial_options import add_kind, denials
from recorder.cli.each import base_of, check_each, emit_each
from recorder.cli.escape import escape
from recorder.cli.output import STDOUT
from recorder.cli.result import add_options, check_options, emit
from recorder.cli.seconds import check_seconds
from recorder.cli.selection import Selection, add_selection, selection
from recorder.cli.signals import Ending
from recorder.cli.status import DONE
from recorder.model.errors import Incomplete, RecorderError, UsageError
from recorder.model.kind import Kind
from recorder.profiles.base import resolve_base
from recorder.profiles.label import dns_label

if TYPE_CHECKING:
    from recorder.cli.arguments import Commands
    from recorder.cli.live_lines import Notes
    from recorder.cli.live_table import LiveTable
    from recorder.model.record import Record
    from recorder.rpc.v1 import agent_pb2 as pb

RECONNECT_FOR = 60.0
TICK = 0.5
"""Seconds between two drawings of the live table."""
SNAPSHOTS_PER_SECOND = 4.0

EPILOG = """\
status: 0 when the result is written, also after Ctrl-C, SIGTERM or --duration; 125 the agent, the
writing or (--strict) completeness failed. What was seen is written also when the agent is lost.
"""


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "capture",
        help="record containers by the agent of this or another node",
        description="Record the system calls of containers, units or processes by a node's agent, and write "
        "the seccomp profile that they need. Ends with Ctrl-C, or when all that is selected has ended.",
        usage="recorder capture [OPTIONS] (--container ID-OR-NAME | --pod NAMESPACE/NAME[/CONTAINER] | "
        "--cgroup PATH | --unit NAME | --pid PID)",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_selection(parser)
    add_options(parser)
    parser.add_argument(
        "--each",
        metavar="DIR",
        help="a file for each container, in this folder, instead of one result of all",
    )
    parser.add_argument("--duration", type=float, metavar="S", help="end after S seconds")
    parser.add_argument("--strict", action="store_true", help="fail if the record is not complete")
    parser.add_argument(
        "--watch",
        action="store_true",
        help="show what is seen on stderr: a live table in a terminal, else lines",
    )
    add_kind(parser)
    parser.add_argument(
        "--phases",
        choices=("exec", "container"),
        default="",
        help="how set-up is told from workload, as in recorder record (default: as the selection suggests)",
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


def _check(options: argparse.Namespace) -> Selection:
    """All that can be refused before the agent is asked. Raises UsageError or OutputError."""
    chosen = selection(options)
    if chosen is None:
        raise UsageError("say what to record: --container, --pod, --cgroup, --unit or --pid")
    check_options(options)
    if options.each is not None:
        if options.output != STDOUT or options.name is not None:
            raise UsageError("--each names its files by itself: not together with -o or --name")
        check_each(options.each)
    if Kind.ACCESSES in (options.kinds or ()) and chosen.by == "pid":
        raise UsageError("--pid is not for --kind accesses: they are seen by cgroup alone")
    check_seconds(options, "duration", "reconnect_for")
    resolve_base(options.base)
    return chosen


def run(options: argparse.Namespace) -> int:
    """Returns 0; raises RecorderError."""
    import asyncio

    chosen = _check(options)
    # To the very end: an impatient second Ctrl-C must not cost the result.
    with Ending() as ending:
        record, failure = asyncio.run(_capture(options, chosen, ending))
        if failure and not record.observations:
            raise failure
        try:
            _write(options, chosen, record)
        except RecorderError as error:
            if failure is None:
                raise
            print(f"recorder: {error.code}: {error}", file=sys.stderr)
    if failure:
        raise failure
    if options.strict and not record.verdict.complete:
        raise Incomplete(
            f"the record is not complete ({record.verdict}); the result was written all the same"
        )
    return DONE


def _write(options: argparse.Namespace, chosen: Selection, record: Record) -> None:
    if options.each is not None:
        emit_each(record, options)
        return
    names = {each.identity.name for each in record.observations}
    name = dns_label(names.pop()) if len(names) == 1 and all(names) else chosen.label
    emit(record, options, options.name or name, base_of(record, options.base))


async def _capture(
    options: argparse.Namespace, chosen: Selection, ending: Ending
) -> tuple[Record, RecorderError | None]:
    """What was seen, and why it is not all."""
    import asyncio

    from recorder.cli.agent_connection import AgentConnection
    from recorder.cli.capture_session import CaptureSession

    display = _display(options, chosen)
    session = CaptureSession(
        lambda: AgentConnection(options),
        _request(options, chosen),
        display,
        reconnect_for=options.reconnect_for,
    )
    ticker = asyncio.create_task(_tick(display))
    failure: RecorderError | None = None
    try:
        with ending.calls(session.end):
            await session.run()
    except RecorderError as error:
        failure = error
    finally:
        ticker.cancel()
        display.close()
    if not session.final and failure is None:
        display.note("the agent did not say its last word in time; the result is what it had said before")
    return session.result(), failure


def _display(options: argparse.Namespace, chosen: Selection) -> Notes | LiveTable:
    from recorder.cli.live_lines import Lines, Notes

    title = f"capturing {escape(str(chosen))}"
    if options.watch and sys.stderr.isatty():
        from recorder.cli.live_table import LiveTable

        return LiveTable(f"{title}; Ctrl-C ends it")
    display = Lines() if options.watch else Notes()
    display.note(f"{title}; Ctrl-C ends it")
    return display


async def _tick(display: Notes | LiveTable) -> None:
    import asyncio

    while True:
        await asyncio.sleep(TICK)
        display.tick()


def _request(options: argparse.Namespace, chosen: Selection) -> pb.CaptureRequest:
    from recorder.cli.capture_request import capture_request
    from recorder.rpc.v1 import agent_pb2 as pb

    request = capture_request(options.agent, chosen, duration=options.duration, rate=SNAPSHOTS_PER_SECOND)
    also = {pb.KIND_DENIALS: denials(options), pb.KIND_ACCESSES: Kind.ACCESSES in (options.kinds or ())}
    request.kinds.extend([pb.KIND_SYSCALLS, *(kind for kind, wanted in also.items() if wanted)])
    request.phases = options.phases
    return request
