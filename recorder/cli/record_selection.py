"""`recorder record` with --container, --pod or --unit: what runs on this machine, without an agent."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from recorder.cli.denial_options import accesses, denials, module_denials
from recorder.cli.seconds import check_seconds
from recorder.cli.selection import OPTIONS, Selection, add_selection, selection
from recorder.model.errors import (
    ContainerNotFound,
    Incomplete,
    Interrupted,
    NotPermitted,
    RecorderError,
    UsageError,
)

if TYPE_CHECKING:
    import argparse

    from recorder.cli.live_lines import Notes
    from recorder.cli.live_table import LiveTable
    from recorder.cli.signals import Ending
    from recorder.model.record import Record

SELECTED = ("container", "pod", "unit")


def add_selected(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    add_selection(parser, SELECTED)
    parser.add_argument(
        "--runtime-endpoint",
        metavar="SOCKET",
        help="with --container or --pod: the one runtime to be asked (CRI or Docker), wherever it listens",
    )


def selected(options: argparse.Namespace) -> Selection | None:
    """What was selected, if by one of these options. Raises UsageError."""
    if not any(getattr(options, name) is not None for name in SELECTED):
        if options.runtime_endpoint is not None:
            raise UsageError("--runtime-endpoint is for --container and --pod")
        return None
    given = [f"--{name}" for name in OPTIONS if getattr(options, name, None) is not None]
    given += ["-- COMMAND"] if options.command else []
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]}: record one of them, not both")
    return selection(options)


def record_selected(options: argparse.Namespace, chosen: Selection) -> None:
    """Records and writes. Raises RecorderError."""
    # What a COMMAND's recording never needs is loaded here alone.
    import asyncio

    from recorder.cli.each import base_of
    from recorder.cli.result import emit
    from recorder.cli.signals import Ending
    from recorder.profiles.label import dns_label

    chosen = _check(options, chosen)
    # To the very end: an impatient second Ctrl-C must not cost the result.
    with Ending() as ending:
        record = asyncio.run(_record(options, chosen, ending))
        names = {each.identity.name for each in record.observations}
        name = dns_label(names.pop()) if len(names) == 1 and all(names) else chosen.label
        emit(record, options, options.name or name, base_of(record, options.base))
    if options.strict and not record.verdict.complete:
        raise Incomplete(
            f"the record is not complete ({record.verdict}); the result was written all the same"
        )


def _check(options: argparse.Namespace, chosen: Selection) -> Selection:
    """All that can be refused before anything is done."""
    from recorder.cli.result import check_options
    from recorder.containers.unit import unit_name
    from recorder.profiles.base import resolve_base

    check_options(options)
    check_seconds(options, "duration")
    if denials(options) and options.loader == "bcc":
        raise UsageError("--loader bcc is not for --kind denials: denied calls are found by libbpf alone")
    accesses(options)
    option = f"--{chosen.by}"
    for other, given in (("--user", options.user), ("--kill-on-exit", options.kill_on_exit)):
        if given:
            raise UsageError(f"{other} is for a COMMAND; with {option} nothing is started")
    if options.phases == "container" and chosen.by == "unit":
        raise UsageError("--phases container is for a --cgroup that an OCI runtime fills, not for a --unit")
    if options.runtime_endpoint is not None and chosen.by == "unit":
        raise UsageError("--runtime-endpoint is for --container and --pod; a --unit is systemd's")
    if chosen.by == "unit":
        chosen = Selection(chosen.by, unit_name(chosen.value))
    resolve_base(options.base)
    if os.geteuid() != 0:
        raise NotPermitted("recording needs root, to load BPF programs and to ask runtimes; run it with sudo")
    return chosen


async def _record(options: argparse.Namespace, chosen: Selection, ending: Ending) -> Record:
    import asyncio

    from recorder.cli.escape import escape
    from recorder.cli.local_recording import LocalRecording

    display = _display(f"recording {escape(str(chosen))}")
    ticker = asyncio.create_task(_tick(display))
    try:
        recording = LocalRecording(
            chosen,
            options.runtime_endpoint,
            options.loader,
            display,
            denials=module_denials(options),
            accesses=accesses(options),
        )
        with ending.calls(recording.stop):
            record = await recording.run(options.duration)
    finally:
        ticker.cancel()
        display.close()
    if record.observations:
        if options.loader == "auto":
            print(f"recorder: loader: {recording.loader}", file=sys.stderr)
        return record
    text = f"nothing of {escape(str(chosen))} ran while it was recorded: there is no result"
    failure: type[RecorderError] = Interrupted if recording.stopped else ContainerNotFound
    raise failure(text)


async def _tick(display: Notes | LiveTable) -> None:
    import asyncio

    while True:
        await asyncio.sleep(0.5)
        display.tick()


def _display(title: str) -> Notes | LiveTable:
    """A table where it can be drawn anew, else lines for what a person has to know."""
    if sys.stderr.isatty():
        from recorder.cli.live_table import LiveTable

        return LiveTable(title)
    from recorder.cli.live_lines import Notes

    return Notes()
