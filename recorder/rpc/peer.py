"""Who is on the other side of a connection: the names in its certificate, or root of this machine.

Names are the certificate's subject alternative names of the kinds URI and DNS (RFC 5280,
4.2.1.6). The subject's common name never counts (RFC 9525), nor do e-mail and IP
addresses. Whether the certificate is to be trusted was decided by the TLS handshake.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

__all__ = ["Peer", "certificate_of", "dns_name", "peer_of", "peer_of_certificate", "uri_name"]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+", re.ASCII)
_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_DNS = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Peer:
    """`names` of the certificate, without doubles; `local`: it came by the Unix socket, which is root's."""

    names: tuple[str, ...] = ()
    local: bool = False

    def __str__(self) -> str:
        if self.local:
            return "the Unix socket"
        return ", ".join(self.names) or "a certificate without URI or DNS names"


def uri_name(text: str) -> str:
    """The text if it is a URI as a certificate has it, else the empty text."""
    return text if len(text) <= 2048 and _URI.fullmatch(text) else ""


def dns_name(text: str) -> str:
    """The name in lower case if it is a host's (no wildcard), else the empty text."""
    name = text.lower()
    return name if len(name) <= 253 and _DNS.fullmatch(name) else ""


def peer_of(context: grpc.aio.ServicerContext[Any, Any]) -> Peer:
    """The peer of a call. A connection without TLS is nobody's, unless it came by a Unix socket."""
    facts: Mapping[str, Iterable[bytes]] = context.auth_context()
    if b"ssl" not in facts.get("transport_security_type", ()):
        return Peer(local=context.peer().startswith("unix:"))
    return _peer(
        (each.decode("utf-8", "replace") for each in facts.get("peer_uri", ())),
        (each.decode("utf-8", "replace") for each in facts.get("peer_dns", ())),
    )


def certificate_of(context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    """The certificate that the peer of a call showed, as PEM; empty: none."""
    facts: Mapping[str, Iterable[bytes]] = context.auth_context()
    return next(iter(facts.get("x509_pem_cert", ())), b"")


def peer_of_certificate(certificate: Mapping[str, Any] | None) -> Peer:
    """The peer by its certificate as `ssl.SSLSocket.getpeercert` gives it."""
    names = (certificate or {}).get("subjectAltName", ())
    return _peer(
        (name for kind, name in names if kind == "URI"), (name for kind, name in names if kind == "DNS")
    )


def _peer(uris: Iterable[str], hosts: Iterable[str]) -> Peer:
    # by kind: a host's name that looks like a URI is not one, nor the reverse
    names = [*map(uri_name, uris), *map(dns_name, hosts)]
    return Peer(tuple(dict.fromkeys(name for name in names if name)))
