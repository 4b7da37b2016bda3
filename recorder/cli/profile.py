"""`recorder profile`: one or several records, joined, as a profile."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.cli.output import STDOUT
from recorder.cli.result import add_options, check_options, emit
from recorder.cli.status import DONE
from recorder.model.errors import InvalidRecord
from recorder.model.record import Record
from recorder.profiles.base import resolve_base
from recorder.profiles.label import dns_label

if TYPE_CHECKING:
    import argparse

    from recorder.cli.arguments import Commands


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "profile",
        help="make a profile from records",
        description="Join records (made by: recorder record -f record), also of several runs, machines and "
        "architectures, and write the profile that covers them all. See also: recorder profile update.",
    )
    add_options(parser)
    parser.add_argument("records", nargs="+", metavar="RECORD", help="a file; - is stdin")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns 0; raises RecorderError."""
    check_options(options)
    record = Record()
    for path in options.records:
        record = record.join(read_record(path))
    names = [each.identity.name for each in record.observations]
    runtimes = {(each.provenance.runtime, each.provenance.runtime_version) for each in record.observations}
    base = resolve_base(options.base, *(runtimes.pop() if len(runtimes) == 1 else ("", "")))
    emit(record, options, options.name or dns_label(min(names, default="")), base)
    return DONE


def read_record(path: str) -> Record:
    """A record from a file, or from stdin. Raises InvalidRecord."""
    from recorder.model.wire import from_json

    try:
        text = (sys.stdin.buffer.read() if path == STDOUT else Path(path).read_bytes()).decode()
    except OSError as error:
        raise InvalidRecord(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidRecord(f"{path} is no record: byte {error.start} is not UTF-8 text") from error
    try:
        return from_json(text)
    except InvalidRecord as error:
        raise InvalidRecord(f"{path}: {error}") from error
