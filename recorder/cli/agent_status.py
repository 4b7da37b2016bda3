"""`recorder status`: an agent's bounds and their use, what it lost, and whom it talks to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from recorder.cli.agent_options import add_agent_options
from recorder.cli.status import DONE

if TYPE_CHECKING:
    import argparse

    from recorder.cli.arguments import Commands
    from recorder.rpc.v1 import agent_pb2 as pb

_MIB = 1 << 20


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "status",
        help="say how an agent is doing",
        description="Say how a node's agent is doing: its bounds and their use, what was lost, its captures, "
        "its plan, the container runtimes and the collector.",
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

    response = ask(options, lambda agent: agent.status())
    if options.json:
        print_json(response)
        return DONE
    for line in lines_of(response):
        print(line)
    for head, rows in _tables(response):
        if rows:
            print()
            print_table(head, rows)
    return DONE


def lines_of(status: pb.GetStatusResponse) -> Iterator[str]:
    """What is said once, as `name: value`."""
    from recorder.cli.escape import escape

    yield f"node: {escape(status.node)}"
    yield f"recorder: {escape(status.recorder_version)}, loader {escape(status.loader) or '-'}"
    yield f"kernel: {escape(status.kernel_release)} {escape(status.machine)}"
    yield f"attached: {'yes' if status.attached else 'no, nothing is recorded'}"
    yield f"records: {', '.join(map(_kind, status.kinds)) or '-'}"
    for each in status.problems:
        yield f"problem, {_kind(each.kind)}: {escape(each.problem.partition(chr(10))[0])}"
    yield f"security modules: {', '.join(map(_module, status.modules)) or '-'}"
    plan = status.plan
    yield f"plan: {plan.recordings} recordings, revision {escape(plan.revision) or '-'}"
    uplink = status.uplink
    if not uplink.collector:
        yield "collector: none is configured"
        return
    state = "connected" if uplink.connected else f"not connected: {escape(uplink.problem) or '-'}"
    yield (
        f"collector: {escape(uplink.collector)}, {state}; {uplink.unacknowledged} unacknowledged, "
        f"spool {uplink.spool_bytes / _MIB:.1f} MiB"
    )
    if uplink.HasField("certificate_ends"):
        yield f"certificate: {_certificate(uplink)}"


def _kind(kind: pb.Kind) -> str:
    from recorder.rpc.v1 import agent_pb2

    known = agent_pb2.Kind.values()
    return agent_pb2.Kind.Name(kind).removeprefix("KIND_").lower() if kind in known else str(kind)


def _module(module: pb.SecurityModule) -> str:
    from recorder.cli.escape import escape

    return f"{escape(module.name)}{f' ({escape(module.mode)})' if module.mode else ''}"


def _certificate(uplink: pb.UplinkStatus) -> str:
    from recorder.cli.escape import escape

    if not uplink.certificate_ends:
        return "none yet"
    text = time.strftime("until %Y-%m-%d %H:%M:%S UTC", time.gmtime(uplink.certificate_ends))
    if uplink.connected and uplink.problem:  # nothing stands still, so far
        return f"{text}; {escape(uplink.problem)}"
    return text


def _tables(status: pb.GetStatusResponse) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """What there are several of."""
    from recorder.cli.escape import escape
    from recorder.model.ledger import CAUSES

    yield (
        ("BOUND", "LIMIT", "USED", "REFUSED", "UNIT"),
        [
            (escape(each.name), str(each.limit), str(each.used), str(each.refused), escape(each.unit))
            for each in status.bounds
        ],
    )
    yield (
        ("LOST", "COUNT", "IS A", "MEANING"),
        [
            (
                escape(each.cause),
                str(each.count),
                known.severity.value if known else "loss",
                known.meaning if known else "a cause that this version does not know",
            )
            for each in status.ledger
            for known in (CAUSES.get(each.cause),)
        ],
    )
    yield (
        ("CAPTURE", "OF", "RECORDED", "CLIENT"),
        [
            (
                escape(each.capture_id),
                escape(each.selection),
                str(each.recorded),
                "connected" if each.connected else "gone",
            )
            for each in status.captures
        ],
    )
    yield (
        ("RUNTIME", "VERSION", "ENDPOINT", "STATE"),
        [
            (
                escape(each.name),
                escape(each.version),
                escape(each.endpoint),
                "reachable" if each.reachable else f"not reachable: {escape(each.problem) or '-'}",
            )
            for each in status.runtimes
        ],
    )
