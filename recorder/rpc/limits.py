"""Bounds on what clients can cost a server, and how each is enforced.

- Message sizes, both ways: gRPC refuses a larger one with RESOURCE_EXHAUSTED before it
  is decoded or sent; of a compressed one the size is that after decompression.
- Headers: `metadata_bytes`; gRPC refuses the call.
- Streams of a connection: HTTP/2's own bound. A client that keeps to it waits with
  more, one that does not is refused.
- Connections, those in the TLS handshake included: `connections` for each address that
  is listened on, so those by TCP cannot keep root from the Unix socket. One more is
  accepted and closed at once. A handshake ends after `handshake_seconds`.
- Calls: `calls` in all, by gRPC's own count, of which a fourth is kept for the Unix
  socket; `calls_of_peer` for one peer (the names of its certificate, whatever the
  number of its connections; the Unix socket is one peer), by `recorder.rpc.calls`.
  More are refused with RESOURCE_EXHAUSTED. A request has to be there within
  `request_seconds`.
- Pings: more often than `ping_seconds`, and the connection ends (GOAWAY,
  ENHANCE_YOUR_CALM).
- Clients that are gone without a word (power, network): pinged after `keepalive_seconds`,
  and dropped when they do not answer within `keepalive_timeout_seconds`.
- A connection without a call ends after `idle_seconds`.

A client that does not read: gRPC takes one message of a stream at a time (`await
context.write` returns when it has been given to the connection), and gives no more to
the connection than HTTP/2's flow control and the socket's buffer have room for. So
it costs one message for each of its streams, and what the kernel buffers for its
connection, for `write_seconds` at most: then the call ends. Whoever writes must wait
for `write`, and make the next message only then.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits", "channel_options", "server_options"]

Options = list[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Limits:
    """A server's bounds; bytes, counts, seconds. `send_bytes` is what its clients must take."""

    receive_bytes: int = 64 << 10
    request_bytes: int = 0  # as receive_bytes
    send_bytes: int = 16 << 20
    metadata_bytes: int = 8 << 10
    streams: int = 256
    connections: int = 256
    calls: int = 512
    calls_of_peer: int = 256
    calls_in_all: int = 0  # as calls
    handshake_seconds: float = 5
    request_seconds: float = 10
    write_seconds: float = 10
    ping_seconds: float = 10
    keepalive_seconds: float = 30
    keepalive_timeout_seconds: float = 10
    idle_seconds: float = 300

    @property
    def most_calls(self) -> int:
        """Calls that are served at a time."""
        return self.calls_in_all or self.calls

    @property
    def remote_calls(self) -> int:
        """How many of `most_calls` clients by TCP may have."""
        return self.most_calls - self.most_calls // 4


def server_options(limits: Limits) -> Options:
    """Options of a gRPC server (grpc/impl/channel_arg_names.h)."""
    return [
        ("grpc.max_receive_message_length", limits.receive_bytes),
        ("grpc.max_send_message_length", limits.send_bytes),
        # from the first bound on refused more and more often, from the second always
        ("grpc.max_metadata_size", limits.metadata_bytes),
        ("grpc.absolute_max_metadata_size", limits.metadata_bytes),
        ("grpc.max_concurrent_streams", limits.streams),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", _ms(limits.handshake_seconds)),
        # a client's settings frame, which ends HTTP/2's own handshake
        ("grpc.http2.settings_timeout", _ms(limits.handshake_seconds)),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(limits.ping_seconds)),
        ("grpc.http2.max_ping_strikes", 2),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", _ms(limits.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _ms(limits.keepalive_timeout_seconds)),
        # of a ping by its own answer: a minute by default, whatever the line above says
        ("grpc.http2.ping_timeout_ms", _ms(limits.keepalive_timeout_seconds)),
        ("grpc.max_connection_idle_ms", _ms(limits.idle_seconds)),
        # windows that do not grow by what the server measures
        ("grpc.http2.bdp_probe", 0),
        # without it two agents could share a port, each with a part of the calls
        ("grpc.so_reuseport", 0),
    ]


def channel_options(limits: Limits) -> Options:
    """Options of a client's channel to a server with these bounds."""
    return [
        ("grpc.max_receive_message_length", limits.send_bytes),
        ("grpc.max_send_message_length", limits.receive_bytes),
        # a connection of its own, not one shared with other channels of this process
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_time_ms", _ms(max(limits.keepalive_seconds, 2 * limits.ping_seconds))),
        ("grpc.keepalive_timeout_ms", _ms(limits.keepalive_timeout_seconds)),
        ("grpc.http2.ping_timeout_ms", _ms(limits.keepalive_timeout_seconds)),
        # a client that reads slowly takes no more than 64 KiB of each stream in advance; with
        # windows that grow by what is measured it took 30 MiB
        ("grpc.http2.bdp_probe", 0),
        # who asks retries; a proxy would see root's calls
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
    ]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
