"""A port for clients that show a token instead of a certificate."""

import asyncio

import pytest

from recorder.model.errors import InvalidCertificate, Unreachable, Untrusted, UsageError
from recorder.rpc.address import Address
from recorder.rpc.channel import Connection, open_channel
from recorder.rpc.server import Listening
from recorder.rpc.tls import TlsFiles, server_credentials, token_credentials
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc
from tests.unit.rpc.servicer import SmallAgent, failure, serving

TOKEN = "abc.def-123_~+/="  # noqa: S105 -- nobody's; all characters that RFC 6750 allows


class Metadata(SmallAgent):
    """GetStatus says what the client shows."""

    async def GetStatus(self, request, context):
        shown = dict(context.invocation_metadata())
        return pb.GetStatusResponse(
            node=shown.get("authorization", ""), loader=str(await super().GetStatus(request, context))
        )


def listening(server_files, **more):
    return Listening(tcp="localhost:0", tls=TlsFiles(server_files.certificate, server_files.key), **more)


async def ask(port, ca, token):
    """Who the server thinks it is, with a token."""
    async with Connection(Address(host="localhost", port=port), server_ca=ca, token=token) as connection:
        stub = agent_pb2_grpc.AgentStub(connection.channel)
        return await connection.ask(stub.GetStatus, pb.GetStatusRequest())


def test_the_token_comes_with_each_call_and_no_certificate_is_asked_for(authority, server_files):
    """The client has no name: nothing but its token says who it is."""

    async def run():
        async with serving(listening(server_files, tokens=True), Metadata()) as (server, _):
            answer = await ask(server.tcp_port, authority.certificate, TOKEN)
            return answer.node, answer.loader

    token, peer = asyncio.run(run())
    assert token == f"Bearer {TOKEN}"
    assert "a certificate without URI or DNS names" in peer


def test_a_server_of_another_ca_gets_no_token(stranger, server_files):
    """The handshake fails before anything is sent."""

    async def run():
        agent = Metadata()
        async with serving(listening(server_files, tokens=True), agent) as (server, _):
            return await failure(lambda: ask(server.tcp_port, stranger.certificate, TOKEN))

    error = asyncio.run(run())
    assert isinstance(error, Untrusted)
    assert "yours" not in str(error)


def test_a_port_for_certificates_does_not_take_a_token(authority, server_files):
    """The client is told that it may be the wrong port."""
    tls = server_files.files(authority.certificate)

    async def run():
        async with serving(Listening(tcp="localhost:0", tls=tls)) as (server, _):
            return await failure(lambda: ask(server.tcp_port, authority.certificate, TOKEN))

    error = asyncio.run(run())
    assert isinstance(error, Unreachable | Untrusted)


def test_a_token_goes_by_tls_alone(tmp_path):
    """Not by a Unix socket; and not without the CA of the server."""
    with pytest.raises(UsageError, match="Unix socket"):
        open_channel(Address(path=tmp_path / "s"), token=TOKEN)
    with pytest.raises(UsageError, match="TLS alone"):
        open_channel(Address(host="localhost", port=1), token=TOKEN)


def test_a_ca_that_is_none_is_named(tmp_path):
    """Missing, and no PEM."""
    with pytest.raises(InvalidCertificate, match=r"missing\.pem"):
        token_credentials(TOKEN, tmp_path / "missing.pem")
    (tmp_path / "no.pem").write_text("no PEM")
    with pytest.raises(InvalidCertificate, match=r"no\.pem"):
        token_credentials(TOKEN, tmp_path / "no.pem")


def test_without_tokens_a_server_still_needs_the_clients_ca(server_files):
    """Nothing is opened by leaving it out."""
    with pytest.raises(InvalidCertificate, match="no CA for clients"):
        server_credentials(TlsFiles(server_files.certificate, server_files.key))
