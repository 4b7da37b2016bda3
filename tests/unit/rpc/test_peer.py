"""Who a peer is, by certificates of real handshakes and by what no CA should sign."""

import asyncio

import pytest

from recorder.rpc.peer import Peer, dns_name, peer_of, peer_of_certificate, uri_name
from recorder.rpc.server import Listening
from tests.unit.rpc.servicer import on_tcp, serving, status


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("URI:spiffe://x/a,URI:spiffe://x/b,DNS:B.Example", "spiffe://x/a, spiffe://x/b, b.example"),
        ("DNS:a.example,DNS:A.example", "a.example"),
        ("email:a@example.org,IP:127.0.0.1,DNS:*.example.org", "a certificate without URI or DNS names"),
        ("", "a certificate without URI or DNS names"),
    ],
)
def test_names_are_uris_and_hosts_alone(server_files, authority, names, expected):
    """Not the common name, e-mail, IP addresses, wildcards; hosts in lower case, without doubles."""
    signed = authority.sign(names, subject="ci.example.org")

    async def run():
        listening = Listening(tcp="127.0.0.1:0", tls=server_files.files(authority.certificate))
        async with (
            serving(listening) as (server, _),
            on_tcp(server, signed.files(), authority.certificate) as connection,
        ):
            return await status(connection)

    assert asyncio.run(run()) == expected


def test_a_name_counts_as_what_it_is():
    """A host's name that looks like a URI is no URI, nor the reverse."""
    certificate = {"subjectAltName": (("DNS", "spiffe://x/a"), ("URI", "b.example"), ("DNS", "ok.example"))}
    assert peer_of_certificate(certificate) == Peer(("ok.example",))
    assert peer_of_certificate(None) == Peer()


class Context:
    def __init__(self, peer, **facts):
        self._peer, self._facts = peer, facts

    def peer(self):
        return self._peer

    def auth_context(self):
        return self._facts


def test_only_a_unix_socket_without_tls_is_local():
    """A peer that says it by TLS, or comes by TCP without TLS, is not root of this machine."""
    assert peer_of(Context("unix:", transport_security_type=[b"insecure"])).local
    assert not peer_of(Context("ipv4:127.0.0.1:1", transport_security_type=[b"insecure"])).local
    assert not peer_of(Context("unix:", transport_security_type=[b"ssl"])).local
    assert not peer_of(Context("ipv4:127.0.0.1:1")).local


def test_what_names_may_look_like():
    """URIs have a scheme and printable ASCII; hosts' names are labels with dots."""
    assert [uri_name(text) for text in ("spiffe://a/b", "urn:x:y", "a b:c", "x:\n", "plain", "x:")] == [
        *("spiffe://a/b", "urn:x:y"),
        *("", "", "", ""),
    ]
    assert [dns_name(text) for text in ("A.b", "*.b", "a..b", "-a", "a-", "a" * 64, "a b", "")] == [
        "a.b",
        *("", "", "", "", "", "", ""),
    ]
