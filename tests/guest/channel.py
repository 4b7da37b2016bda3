"""The host's end of the agent's port: frames (agent/agent.h), and the commands that they belong to.

One thread at a time: whoever waits for a command also carries the bytes of all others.
"""

import os
import select
import socket
import struct
import time
import uuid
from collections import deque

HEADER = struct.Struct("<IIB")  # length, channel, type
FRESHNESS = struct.Struct("<Q36s64s")  # wall clock (ns), boot id, entropy
NUMBER = struct.Struct("<i")
WINDOW = 256 * 1024  # bytes of standard input that the agent holds
CHUNK = 32 * 1024


class ClosedError(Exception):
    """The other end is gone."""


class Running:
    """A command that was sent: what it has written so far, and its status once it has ended."""

    def __init__(self, channel: int, stdin: bytes | None) -> None:
        self.channel = channel
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.status: int | None = None
        self._stdin = stdin or b""
        self._sent = 0
        self._credit = WINDOW
        self._open = stdin is None  # more may come
        self._ended = False

    def input_frames(self) -> list[tuple[str, bytes]]:
        """What may be sent now."""
        frames: list[tuple[str, bytes]] = []
        while self._credit and self._sent < len(self._stdin) and self.status is None:
            data = self._stdin[self._sent : self._sent + min(CHUNK, self._credit)]
            self._sent += len(data)
            self._credit -= len(data)
            frames.append(("I", data))
        if self._sent == len(self._stdin) and not self._open and not self._ended:
            self._ended = True
            frames.append(("E", b""))
        return frames

    def add_input(self, data: bytes) -> None:
        """More standard input; empty: its end."""
        self._stdin = self._stdin[self._sent :] + data
        self._sent = 0
        self._open = bool(data)

    def take(self, kind: str, data: bytes) -> None:
        """A frame from the agent."""
        if kind == "O":
            self.stdout += data
        elif kind == "X":
            self.stderr += data
        elif kind == "A":
            self._credit += NUMBER.unpack(data)[0]
        elif kind in "Df":
            self.status = NUMBER.unpack(data)[0]


class Channel:
    """Frames over a connected socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._socket.setblocking(False)
        self._out: deque[bytes] = deque()
        self._in = bytearray()
        self._commands: dict[int, Running] = {}
        self._last = 0
        self.ready = False  # the agent has said hello

    def _frame(self, channel: int, kind: str, data: bytes = b"") -> None:
        self._out.append(HEADER.pack(len(data), channel, ord(kind)) + data)

    def _begin(self, stdin: bytes | None) -> Running:
        self._last += 1
        self._commands[self._last] = running = Running(self._last, stdin)
        return running

    def run(self, words: list[str], stdin: bytes | None = b"") -> Running:
        """Start a command; with None its standard input comes later, by `add_input`."""
        running = self._begin(stdin)
        self._frame(running.channel, "R", b"".join(os.fsencode(word) + b"\0" for word in words))
        self._feed(running)
        return running

    def freshen(self) -> Running:
        """Give a restored guest the time, other random numbers and a boot id of its own; status: an errno."""
        running = self._begin(b"")
        # the time is read as late as may be
        fresh = FRESHNESS.pack(time.time_ns(), str(uuid.uuid4()).encode(), os.urandom(64))
        self._frame(running.channel, "F", fresh)
        return running

    def signal(self, running: Running, number: int) -> None:
        """Send a signal to a command's process group."""
        self._frame(running.channel, "S", NUMBER.pack(number))

    def add_input(self, running: Running, data: bytes) -> None:
        """More standard input for a command that was started without; empty: its end."""
        running.add_input(data)
        self._feed(running)

    def _feed(self, running: Running) -> None:
        for kind, data in running.input_frames():
            self._frame(running.channel, kind, data)

    def pump(self, seconds: float) -> None:
        """Carry bytes, for at most `seconds` or until some have come; ClosedError at the end."""
        readable, writable, _ = select.select(
            [self._socket], [self._socket] if self._out else [], [], seconds
        )
        try:
            if writable:
                self._send()
            if readable:
                self._receive()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ClosedError(str(error)) from error

    def _send(self) -> None:
        while self._out:
            data = self._out.popleft()
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            if sent < len(data):
                self._out.appendleft(data[sent:])
                return

    def _receive(self) -> None:
        data = self._socket.recv(1 << 20)
        if not data:
            raise ClosedError("end of file")
        self._in += data
        at = 0
        while len(self._in) - at >= HEADER.size:
            length, channel, kind = HEADER.unpack_from(self._in, at)
            if len(self._in) - at - HEADER.size < length:
                break
            at += HEADER.size
            self._take(channel, chr(kind), bytes(self._in[at : at + length]))
            at += length
        del self._in[:at]

    def _take(self, channel: int, kind: str, data: bytes) -> None:
        if kind == "H":
            self.ready = True
        running = self._commands.get(channel)
        if running is None:
            return
        running.take(kind, data)
        if running.status is not None:
            del self._commands[channel]
        elif kind == "A":
            self._feed(running)
