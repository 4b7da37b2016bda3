"""The program `recorder`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from recorder import __version__
from recorder.cli import (
    agent,
    agent_status,
    capture,
    certs,
    check,
    collector,
    containers,
    denials,
    profile,
    profile_update,
    record,
    records,
    serve,
)
from recorder.cli.arguments import Parser
from recorder.cli.status import COULD_NOT, RECORDER_FAILED, other_status, say_failure
from recorder.model.errors import InternalError, Interrupted, RecorderError


def parser(asked: str = "agent") -> Parser:
    """All commands; `asked`: the one whose options are all declared, whatever they cost."""
    top = Parser(
        prog="recorder",
        description="Record with eBPF what a container really does, and write the profile it needs.",
        epilog="status of all commands but record and capture: 0 done, 1 the answer is no, 2 usage or input "
        "error, 3 could not do it",
    )
    top.add_argument("--version", action="version", version=f"recorder {__version__}")
    commands = top.add_subparsers(dest="command_name", metavar="COMMAND", required=True)
    agent.add_parser(commands, flags=asked == "agent")
    record.add_parser(commands)
    profile.add_parser(commands)
    profile_update.add_parser(commands)
    check.add_parser(commands)
    capture.add_parser(commands)
    denials.add_parser(commands)
    containers.add_parser(commands)
    agent_status.add_parser(commands)
    records.add_parser(commands)
    serve.add_parser(commands)
    collector.add_parser(commands, flags=asked == "collector")
    certs.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status; see recorder.cli.status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:2] == ["profile", "update"]:  # a record of that name is ./update
        arguments[:2] = ["profile update"]
    recording = arguments[:1] in (["record"], ["capture"])
    try:
        options = parser(arguments[0] if arguments else "").parse_args(arguments)
        status: int = options.run(options)
        return status
    except RecorderError as error:
        say_failure(error)
        return RECORDER_FAILED if recording else other_status(error)
    except KeyboardInterrupt:
        say_failure(Interrupted("ended by Ctrl-C before there was a result"))
        return RECORDER_FAILED if recording else COULD_NOT
    except BrokenPipeError:
        # Who read our stdout is gone; the interpreter would complain at exit.
        sys.stdout = None
        return RECORDER_FAILED if recording else COULD_NOT
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say_failure(InternalError(f"{where}{error.strerror or error}"))
        return RECORDER_FAILED if recording else COULD_NOT


if __name__ == "__main__":
    sys.exit(main())
