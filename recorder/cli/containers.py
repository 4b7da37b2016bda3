"""`recorder containers`: the containers that an agent knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.cli.agent_options import add_agent_options
from recorder.cli.status import DONE

if TYPE_CHECKING:
    import argparse

    from recorder.cli.arguments import Commands
    from recorder.rpc.v1 import agent_pb2 as pb

HEAD = ("CONTAINER", "KIND", "ID", "PID", "STATE", "IMAGE", "RUNTIME")


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "containers",
        help="list the containers that an agent knows",
        description="List the containers that a node's agent knows, those that it does not record included.",
        epilog="status: 0 done; 2 usage error; 3 the agent could not be asked",
    )
    parser.add_argument("--json", action="store_true", help="as JSON (protobuf's JSON mapping)")
    add_agent_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Returns 0; raises RecorderError."""
    from recorder.cli.agent_connection import ask
    from recorder.cli.columns import print_table
    from recorder.cli.message_json import print_json

    response = ask(options, lambda agent: agent.containers())
    if options.json:
        print_json(response)
    else:
        print_table(HEAD, [_row(each) for each in response.containers])
    return DONE


def _row(container: pb.ContainerStatus) -> tuple[str, ...]:
    from recorder.cli.container_name import SHORT_ID, container_name
    from recorder.cli.escape import escape
    from recorder.model.record import ContainerKind
    from recorder.model.wire import from_identity

    identity = from_identity(container.identity)
    kind = next((each.name.lower() for each in ContainerKind if each == identity.kind and each), "")
    return (
        container_name(identity),
        kind,
        escape(identity.container_id[:SHORT_ID]),
        str(container.pid or ""),
        _state(container),
        escape(identity.image or identity.image_digest),
        escape(" ".join(part for part in (container.runtime, container.runtime_version) if part)),
    )


def _state(container: pb.ContainerStatus) -> str:
    from recorder.cli.escape import escape

    words = [word for word, true in (("recorded", container.recorded), ("ended", container.ended)) if true]
    if container.not_recordable:
        words.append(f"not recordable: {escape(container.not_recordable)}")
    return ", ".join(words)
