"""The connection of a command to a collector; imports grpc, so it is imported by those commands alone."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.cli.output import STDOUT
from recorder.model.errors import UsageError
from recorder.rpc.address import Address
from recorder.rpc.channel import Connection
from recorder.rpc.v1 import collector_pb2 as pb
from recorder.rpc.v1 import collector_pb2_grpc

if TYPE_CHECKING:
    import argparse

MAX_TOKEN = 64 << 10
"""Bytes of its file."""
_TOKEN = re.compile(r"[\x21-\x7e]+", re.ASCII)


class CollectorConnection:
    """One connection, made from the options of `collector_options`; all it does may raise RecorderError."""

    def __init__(self, options: argparse.Namespace) -> None:
        address = Address.parse(options.collector)
        if not address.path and not (options.ca and options.token_file):
            raise UsageError(
                f"{address} is reached by TLS with a token: give --ca, with the CA of the collector, and "
                "--token-file, with a Kubernetes token (as of: kubectl create token)"
            )
        if address.path and (options.ca or options.token_file):
            raise UsageError(
                f"{address} is a Unix socket and needs no CA or token: leave them out, or give HOST:PORT"
            )
        self._connection = Connection(
            address,
            server_ca=Path(options.ca) if options.ca else None,
            token=_token(options.token_file) if options.token_file else "",
            who="collector",
        )
        self._collector = collector_pb2_grpc.CollectorStub(  # type: ignore[no-untyped-call]
            self._connection.channel
        )

    def records(self, asked: pb.RecordsFilter) -> AsyncIterator[pb.GetRecordsResponse]:
        """What was seen so far."""
        return self._connection.listen(self._collector.GetRecords, pb.GetRecordsRequest(filter=asked))

    def watch(self, asked: pb.RecordsFilter) -> AsyncIterator[pb.WatchRecordsResponse]:
        """The same, then changes."""
        return self._connection.listen(self._collector.WatchRecords, pb.WatchRecordsRequest(filter=asked))

    async def close(self) -> None:
        """May be repeated."""
        await self._connection.channel.close()


def _token(path: str) -> str:
    try:
        if path == STDOUT:
            content = sys.stdin.buffer.read(MAX_TOKEN)
        else:
            with Path(path).open("rb") as file:
                content = file.read(MAX_TOKEN)
    except OSError as error:
        raise UsageError(f"cannot read the token in {path}: {error.strerror}") from error
    token = content.decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise UsageError(f"{path} holds no token: expected is one line, as of: kubectl create token")
    return token
