"""Where a server is: `unix:PATH` or `HOST:PORT`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recorder.model.errors import UsageError
from recorder.rpc.names import shown

__all__ = ["Address"]

_EXPECTED = "expected is unix:PATH, with a path that begins with /, or HOST:PORT"


@dataclass(frozen=True, slots=True)
class Address:
    """A Unix socket's path, or a host (a name, an IPv4 or IPv6 address) and a TCP port."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in a text. UsageError, with what is expected, if there is none."""
        if text.startswith("unix:"):
            # unix:///run/x and unix:/run/x are both common
            path = text.removeprefix("unix:")
            path = path.removeprefix("//") if path.startswith("///") else path
            if not path.startswith("/") or path.startswith("//") or "\0" in path:
                raise UsageError(f"{shown(text)} is no address: {_EXPECTED}")
            return cls(path=Path(path))
        return cls.parse_tcp(text)

    @classmethod
    def parse_tcp(cls, text: str) -> Address:
        """The `HOST:PORT` in a text; an IPv6 address in brackets. UsageError if there is none."""
        host, colon, port = text.rpartition(":")
        if "://" in text:
            raise UsageError(f"{shown(text)} is a URL: {_EXPECTED}")
        if not colon or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
            raise UsageError(f"{shown(text)} has no port from 0 to 65535 at its end: {_EXPECTED}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
            if ":" not in host:
                raise UsageError(f"{shown(text)} has brackets around what is no IPv6 address: {_EXPECTED}")
        elif ":" in host:
            raise UsageError(f"{shown(text)}: write an IPv6 address in brackets, as [::1]:7443")
        if not host or not host.isascii() or not host.isprintable() or set(host) & set(" /,@?#"):
            raise UsageError(f"{shown(text)} names no host: {_EXPECTED}")
        return cls(host=host, port=int(port))

    @property
    def grpc(self) -> str:
        """As gRPC takes it."""
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.grpc
