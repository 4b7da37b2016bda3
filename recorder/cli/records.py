"""`recorder records`: what the collector has seen for recordings, also while containers run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recorder.cli.collector_options import add_collector_options
from recorder.cli.status import ANSWER_IS_NO, DONE
from recorder.model.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Coroutine

    from recorder.cli.arguments import Commands
    from recorder.cli.collector_connection import CollectorConnection
    from recorder.cli.records_seen import SeenRecords
    from recorder.cli.signals import Ending
    from recorder.rpc.v1 import collector_pb2 as pb


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "records",
        help="show what was seen for recordings",
        description="Show what the collector has seen for the recordings that you may read, also of "
        "containers that still run: how many calls, in how many containers, and the profiles that were made.",
        epilog="status: 0 done; 1 there is no such recording; 2 usage error; 3 the collector could not be "
        "asked. For the Unix socket you have to be root; with a token you see the namespaces in which you "
        "may get profilerecordings.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a recording; all of them without it")
    parser.add_argument("-n", "--namespace", metavar="NAMESPACE", help="those of one namespace alone")
    parser.add_argument("--watch", action="store_true", help="go on with what changes, until Ctrl-C")
    parser.add_argument(
        "--explain",
        action="store_true",
        help="of each call which containers made it, and who first, and when; and what was denied; of what"
        " was accessed the rules, with how many records used each, and what each pattern stands for",
    )
    parser.add_argument(
        "-f",
        "--format",
        metavar="FORMAT",
        help="a profile of what was accessed instead: apparmor-text, whole, as apparmor_parser loads it, or"
        " apparmor, the object; or of what SELinux denied: cil, whole, or selinux, the object",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="as JSON (protobuf's JSON mapping): a message for each line, as the collector sends them",
    )
    add_collector_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns the status; raises RecorderError."""
    if options.watch and options.explain:
        raise UsageError("--watch shows changes of the table, and --explain what is now: give one of them")
    if options.json and options.explain:
        raise UsageError("--json has all that --explain shows: give one of them")
    if options.format is not None:
        _check_format(options)
    import asyncio

    if not options.watch:
        return asyncio.run(_records(options, None))
    from recorder.cli.signals import Ending

    with Ending() as ending:
        return asyncio.run(_records(options, ending))


def _check_format(options: argparse.Namespace) -> None:
    from recorder.cli.records_profile import FORMATS

    if options.format not in FORMATS:
        raise UsageError(f"--format: there is no format {options.format!r}; one of {', '.join(FORMATS)}")
    for name in ("watch", "explain", "json"):
        if getattr(options, name):
            raise UsageError(f"--{name} and --format: give one of them")
    if not options.name:
        raise UsageError("--format needs the NAME of a recording")


async def _records(options: argparse.Namespace, ending: Ending | None) -> int:
    from recorder.cli.collector_connection import CollectorConnection
    from recorder.rpc.v1 import collector_pb2 as pb

    connection = CollectorConnection(options)
    asked = pb.RecordsFilter(
        namespace=options.namespace or "",
        recording=options.name or "",
        accesses=bool(options.json or options.explain or options.format),
    )
    try:
        if ending:
            return await _until(ending, _watch(connection, asked, options))
        return await _get(connection, asked, options)
    finally:
        await connection.close()


async def _until(ending: Ending, watch: Coroutine[None, None, int]) -> int:
    """The watch's status, or DONE as soon as a signal ends it."""
    import asyncio

    # In a task of its own, which asyncio.run ends: gRPC may lose a cancellation while it is at work.
    told = asyncio.Event()
    with ending.calls(told.set):
        watching, waiting = asyncio.create_task(watch), asyncio.create_task(told.wait())
        await asyncio.wait((watching, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        return watching.result() if watching.done() else DONE


async def _get(connection: CollectorConnection, asked: pb.RecordsFilter, options: argparse.Namespace) -> int:
    from recorder.cli.message_json import json_line
    from recorder.cli.records_seen import SeenRecords

    seen, found = SeenRecords(), False
    async for message in connection.records(asked):
        found = True
        if options.json:
            print(json_line(message))
        else:
            seen.take(message)
    if not found and options.name:
        print(f"recorder: {_missing(asked)}", file=sys.stderr)
        return ANSWER_IS_NO
    if options.format:
        from recorder.cli.records_profile import profiles

        print(profiles(seen.groups(), options.format), end="")
    elif options.explain:
        _print_explained(seen)
    elif not options.json:
        _print_rows(seen)
    return DONE


def _missing(asked: pb.RecordsFilter) -> str:
    from recorder.cli.escape import escape

    where = f" in the namespace {escape(asked.namespace)}" if asked.namespace else ""
    return f"there is no recording {escape(asked.recording)}{where}, or none that you may read"


def _print_rows(seen: SeenRecords) -> None:
    from recorder.cli.columns import print_table
    from recorder.cli.records_table import HEAD, row

    print_table(HEAD, [row(each) for each in seen.groups()])


def _print_explained(seen: SeenRecords) -> None:
    from recorder.cli import records_accessed, records_denied
    from recorder.cli.columns import print_table
    from recorder.cli.records_explain import HEAD, rows, title

    for number, group in enumerate(seen.groups()):
        if number:
            print()
        print(title(group))
        lines = list(rows(group))
        if lines:
            print_table(HEAD, lines)
        denied = list(records_denied.rows(group))
        if denied:
            print("denied by AppArmor or SELinux, most frequent first:")
            print_table(records_denied.HEAD, denied)
        rules = records_accessed.rules_of(group)
        if rules:
            print("accessed, as rules of a profile:")
            print_table(records_accessed.HEAD, list(records_accessed.rows(rules)))
            for line in records_accessed.patterns(rules):
                print(f"pattern: {line}")


async def _watch(
    connection: CollectorConnection, asked: pb.RecordsFilter, options: argparse.Namespace
) -> int:
    from recorder.cli.message_json import json_line
    from recorder.cli.records_watch import watch_view

    if options.json:
        async for message in connection.watch(asked):
            print(json_line(message), flush=True)
        return DONE
    with watch_view() as view:
        async for message in connection.watch(asked):
            view.take(message)
    return DONE
