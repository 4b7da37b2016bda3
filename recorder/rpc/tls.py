"""TLS for gRPC and for HTTP: certificates from files, read anew when the files change.

Both sides show a certificate (a port for tokens asks its clients for none), and TLS is
1.2 or newer (gRPC's own lower bound, and `minimum_version` for HTTP). Files are looked
at (stat) for each new connection, and connections that stand already are not touched: no
stream is dropped. New files that cannot be used (damaged, or a key of another
certificate, as in the middle of a renewal) are logged once, and the old ones stay in use.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from recorder.model.errors import InvalidCertificate

__all__ = [
    "HttpTls",
    "TlsFiles",
    "channel_credentials",
    "read_ca",
    "server_credentials",
    "token_credentials",
]

log = logging.getLogger(__name__)

_MAX_BYTES = 1 << 20
"""Of one file: a CA bundle of all public roots has a fifth of it."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files.

    `certificate` may be followed in its file by those between it and its CA; `key` is
    not encrypted; `client_ca` holds the CAs whose certificates a server takes from its
    clients (a client needs none).
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files, in the order of the fields."""
        return tuple(path for path in (self.certificate, self.key, self.client_ca) if path)


@dataclass(frozen=True, slots=True)
class _Contents:
    """The bytes of the files, found to belong together."""

    certificate: bytes
    key: bytes
    client_ca: bytes

    def context(self, *, optional: bool = False) -> ssl.SSLContext:
        """A server's context that demands clients' certificates; `optional`: takes who shows none, too."""
        context = _context(self)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_OPTIONAL if optional else ssl.CERT_REQUIRED
        return context


def _context(contents: _Contents) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with _file_of(contents.certificate) as certificate, _file_of(contents.key) as key:
        # without a password of its own, OpenSSL would ask on the terminal
        context.load_cert_chain(certificate, key, password=lambda: b"")
    if contents.client_ca:
        context.load_verify_locations(cadata=contents.client_ca.decode("ascii", "replace"))
    return context


@contextmanager
def _file_of(content: bytes) -> Iterator[str]:
    # load_cert_chain reads paths alone; the bytes that were checked must be those that are used
    descriptor = os.memfd_create("recorder-tls", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidCertificate(
            f"{path}: {error.strerror}; TLS needs it: make it readable, or correct its path"
        ) from error
    if len(content) > _MAX_BYTES:
        raise InvalidCertificate(f"{path} has more than {_MAX_BYTES} bytes; is it the right file?")
    return content


def _load(files: TlsFiles) -> _Contents:
    """The files' contents. Raises InvalidCertificate, with the file at fault."""
    contents = _Contents(
        _read(files.certificate), _read(files.key), _read(files.client_ca) if files.client_ca else b""
    )
    try:
        _context(_Contents(contents.certificate, contents.key, b""))
    except (ssl.SSLError, ValueError, OSError) as error:
        raise InvalidCertificate(
            f"{files.certificate} and {files.key} cannot be used together: {_reason(error)}; "
            "expected are a certificate and its own key, not encrypted, both as PEM"
        ) from error
    if files.client_ca:
        _check_ca(files.client_ca, contents.client_ca)
    return contents


def _check_ca(path: Path, content: bytes) -> None:
    """InvalidCertificate if there is none in it: to gRPC and to ssl, nothing may mean the system's CAs."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(
            cadata=content.decode("ascii", "replace")
        )
    except (ssl.SSLError, ValueError) as error:
        raise InvalidCertificate(
            f"{path} has no CA certificate: {_reason(error)}; expected are certificates as PEM"
        ) from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
    return str(reason).lower().replace("_", " ")


_Stamp = tuple[tuple[int, int, int, int], ...]


class _Certificates:
    """What the files hold; `current` may be called from any thread."""

    def __init__(self, files: TlsFiles, *, tokens: bool = False) -> None:
        if files.client_ca is None and not tokens:
            raise InvalidCertificate(
                "no CA for clients' certificates is given, and clients are let in by their certificates "
                "alone: give the file with the CA that signs them"
            )
        self._files = files
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._contents = _load(files)

    def current(self) -> _Contents:
        """The newest contents that can be used. Never raises."""
        with self._lock:
            stamp = self._look()
            if stamp != self._stamp:
                self._stamp = stamp
                self._renew()
            return self._contents

    def _renew(self) -> None:
        try:
            contents = _load(self._files)
        except InvalidCertificate as error:
            log.error("TLS files have changed and cannot be used; the old ones stay in use: %s", error)
            return
        if contents != self._contents:
            self._contents = contents
            log.info("TLS files have changed and are in use: %s", ", ".join(map(str, self._files.paths)))

    def _look(self) -> _Stamp:
        return tuple(_stamp(path) for path in self._files.paths)


def _stamp(path: Path) -> tuple[int, int, int, int]:
    try:
        now = path.stat()
    except OSError:
        return (0, 0, 0, 0)
    return (now.st_dev, now.st_ino, now.st_mtime_ns, now.st_size)


def server_credentials(files: TlsFiles, *, tokens: bool = False) -> grpc.ServerCredentials:
    """Credentials of one port of a server that demands clients' certificates. Raises InvalidCertificate.

    With `tokens` it asks for none, since its clients show a token with each call: gRPC in
    Python knows no certificate that may be left out.
    """
    certificates = _Certificates(files, tokens=tokens)
    used = certificates.current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        # called by gRPC in a thread of its own, before each handshake; None: no change
        nonlocal used
        current = certificates.current()
        if current is used:
            return None
        used = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(used),
        renewed,  # type: ignore[arg-type] # None is for no change, as gRPC documents and the stubs do not know
        require_client_authentication=not tokens,
    )


def _configuration(contents: _Contents) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(contents.key, contents.certificate)], root_certificates=contents.client_ca or None
    )


class HttpTls:
    """TLS of an HTTP server that demands clients' certificates. Raises InvalidCertificate.

    With `optional` a client may show none; one that it shows must be of the CA all the same.
    """

    def __init__(self, files: TlsFiles, *, optional: bool = False) -> None:
        self._certificates = _Certificates(files)
        self._optional = optional
        self._used = self._certificates.current()
        self._context = self._used.context(optional=optional)

    def context(self) -> ssl.SSLContext:
        """The context for the next connection: a new one after a change of the files."""
        current = self._certificates.current()
        if current is not self._used:
            self._used, self._context = current, current.context(optional=self._optional)
        return self._context


def token_credentials(token: str, server_ca: Path) -> grpc.ChannelCredentials:
    """Credentials of a client that takes servers of `server_ca` and shows a token with each call.

    Raises InvalidCertificate.
    """
    # gRPC sends call credentials by TLS alone
    return grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(read_ca(server_ca)), grpc.access_token_call_credentials(token)
    )


def read_ca(path: Path) -> bytes:
    """What the file of a CA holds, found to be certificates. Raises InvalidCertificate."""
    content = _read(path)
    _check_ca(path, content)
    return content


def channel_credentials(files: TlsFiles, server_ca: Path) -> grpc.ChannelCredentials:
    """Credentials of a client that shows `files` and takes servers of `server_ca`, as the files are now.

    A channel keeps them for good: a client that lives long makes a new channel when it
    connects again. Raises InvalidCertificate.
    """
    contents = _load(TlsFiles(files.certificate, files.key, server_ca))
    return grpc.ssl_channel_credentials(contents.client_ca, contents.key, contents.certificate)
