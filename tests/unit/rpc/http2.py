"""Just enough of HTTP/2 (RFC 9113) by hand to be a client that no library is: rude, slow or mad."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS = 1, 4
INITIAL_WINDOW_SIZE = 4
ENHANCE_YOUR_CALM = 11
LARGEST_WINDOW = 2**31 - 1


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values: int) -> bytes:
    """A SETTINGS frame; `window`: how much of each stream the server may send at once."""
    window = values.get("window")
    return frame(SETTINGS, struct.pack(">HI", INITIAL_WINDOW_SIZE, window) if window else b"")


def headers(stream: int, method: str) -> bytes:
    """The beginning of a gRPC call: each field literal, without Huffman codes (RFC 7541, 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": method,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    block = b"".join(
        b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in fields.items()
    )
    return frame(HEADERS, block, flags=END_HEADERS, stream=stream)


def message(stream: int, content: bytes) -> bytes:
    """The one message of a call, and its end."""
    return frame(DATA, b"\0" + struct.pack(">I", len(content)) + content, flags=END_STREAM, stream=stream)


def greedy_call(stream: int, method: str, content: bytes) -> bytes:
    """A connection that lets the server send without end, and one call."""
    grant = frame(WINDOW_UPDATE, struct.pack(">I", LARGEST_WINDOW - 65535))
    return b"".join(
        [PREFACE, settings(window=LARGEST_WINDOW), grant, headers(stream, method), message(stream, content)]
    )


def frames(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """The kind, flags and payload of what the server sends, until it closes."""
    with connection.makefile("rb") as file:
        while len(head := file.read(9)) == 9:
            length = int.from_bytes(head[:3])
            yield head[3], head[4], file.read(length)
