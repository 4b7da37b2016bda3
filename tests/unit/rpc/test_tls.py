"""TLS by the real handshakes of gRPC, of Python's ssl and of the openssl command."""

import asyncio
import logging
import os
import shutil
import ssl
import subprocess

import grpc
import pytest

from recorder.model.errors import InvalidCertificate, InvalidSettings, RemoteError, Unreachable, Untrusted
from recorder.rpc.server import Listening
from recorder.rpc.tls import HttpTls, TlsFiles, channel_credentials, server_credentials, token_credentials
from recorder.rpc.v1 import agent_pb2 as pb
from recorder.rpc.v1 import agent_pb2_grpc
from tests.unit.rpc.servicer import failure, on_tcp, serving, status


def listening(files, authority):
    return Listening(tcp="127.0.0.1:0", tls=files.files(authority.certificate))


def refused(server_side, client_side, server_ca, authority, host="localhost"):
    """The failure of a client with these files."""

    async def run():
        async with (
            serving(listening(server_side, authority)) as (server, _),
            on_tcp(server, client_side.files(), server_ca, host) as connection,
        ):
            return await failure(lambda: status(connection))

    return asyncio.run(run())


def test_both_sides_know_each_other(server_files, client_files, authority):
    """A client with a certificate of the CA is served, and is known by its names."""

    async def run():
        async with (
            serving(listening(server_files, authority)) as (server, _),
            on_tcp(server, client_files.files(), authority.certificate) as connection,
        ):
            return await status(connection)

    assert asyncio.run(run()) == "spiffe://example.org/ci, ci.example.org"


def test_an_expired_client_is_refused(server_files, authority):
    """The server does not take a certificate after its end."""
    expired = authority.sign("URI:spiffe://example.org/ci", expired=True)
    error = refused(server_files, expired, authority.certificate, authority)
    assert isinstance(error, RemoteError)
    assert "valid now" in str(error)


def test_a_client_of_another_ca_is_refused(server_files, authority, stranger):
    """The server takes certificates of its CA for clients alone."""
    error = refused(
        server_files, stranger.sign("URI:spiffe://example.org/ci"), authority.certificate, authority
    )
    assert isinstance(error, Untrusted | Unreachable)
    assert "CA for clients" in str(error)


def test_a_certificate_for_another_purpose_is_refused(server_files, client_files, authority):
    """A server's certificate is none for a client, nor the reverse (RFC 5280, 4.2.1.12)."""
    for_servers = authority.sign("URI:spiffe://example.org/ci", purpose="serverAuth")
    for_clients = authority.sign("DNS:localhost", purpose="clientAuth")
    assert isinstance(refused(server_files, for_servers, authority.certificate, authority), RemoteError)
    error = refused(for_clients, client_files, authority.certificate, authority)
    assert isinstance(error, Untrusted), error


def test_an_expired_server_is_refused(client_files, authority):
    """The client does not take a server's certificate after its end, and says so."""
    error = refused(
        authority.sign("DNS:localhost", expired=True), client_files, authority.certificate, authority
    )
    assert isinstance(error, Untrusted), error
    assert "valid now" in str(error)


def test_a_server_of_another_ca_is_refused(client_files, server_files, authority, stranger):
    """The client takes servers of the CA that it was given alone."""
    error = refused(server_files, client_files, stranger.certificate, authority)
    assert isinstance(error, Untrusted), error


def test_a_server_with_another_name_is_refused(client_files, authority):
    """The client demands the host's name in the server's certificate; the common name does not count."""
    other = authority.sign("DNS:other.example.org", subject="localhost")
    error = refused(other, client_files, authority.certificate, authority)
    assert isinstance(error, Untrusted), error
    assert "name localhost" in str(error)


def s_client(port, authority, *arguments):
    """What `openssl s_client` says when it sends a line after the handshake."""
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-alpn", "h2"),
            *("-CAfile", authority.certificate, *arguments),
        ],
        input=b"x" * 100,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return (done.stdout + done.stderr).decode(errors="replace")


def test_no_certificate_is_refused(server_files, authority, capfd):
    """A client that trusts the server and shows nothing reaches no method."""

    async def run():
        async with serving(listening(server_files, authority)) as (server, _):
            credentials = grpc.ssl_channel_credentials(authority.certificate.read_bytes())
            async with grpc.aio.secure_channel(f"localhost:{server.tcp_port}", credentials) as channel:
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await agent_pb2_grpc.AgentStub(channel).GetStatus(pb.GetStatusRequest(), timeout=5)
                return refused.value.code()

    assert asyncio.run(run()) is grpc.StatusCode.UNAVAILABLE
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("version", "works"), [("-tls1", False), ("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)]
)
def test_tls_is_1_2_or_newer(server_files, client_files, authority, *, version, works, capfd):
    """A client that offers an older version alone is turned away for that; 1.2 and 1.3 work."""

    async def run():
        async with serving(listening(server_files, authority)) as (server, _):
            using = ["-cert", client_files.certificate, "-key", client_files.key, version]
            # at its usual security level OpenSSL itself does not offer what is older
            using += ["-cipher", "ALL:@SECLEVEL=0"] if not works else []
            return await asyncio.to_thread(s_client, server.tcp_port, authority, *using)

    said = asyncio.run(run())
    assert ("no peer certificate available" in said) == (not works), said
    assert ("UNSUPPORTED_PROTOCOL" in capfd.readouterr().err) == (not works)
    assert ("Cipher is (NONE)" in said) == (not works), said


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(("newest", "works"), [("TLSv1_1", False), ("TLSv1_2", True)])
def test_http_tls_is_1_2_or_newer(server_files, client_files, authority, newest, works):
    """The context for HTTP refuses an older client in the handshake, too."""
    server = HttpTls(server_files.files(authority.certificate)).context()
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(authority.certificate)
    client.load_cert_chain(client_files.certificate, client_files.key)
    client.set_ciphers("ALL:@SECLEVEL=0")
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = ssl.TLSVersion[newest]
    if works:
        assert handshake(server, client) == "TLSv1.2"
    else:
        with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
            handshake(server, client)


def handshake(server_context, client_context):
    """The version that two contexts agree on, in memory; raises the first SSLError of either side."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(back, there, server_hostname="localhost")
    server = server_context.wrap_bio(there, back, server_side=True)
    for _ in range(6):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.version()


def copied(signed, folder):
    """Files of their own, to be changed."""
    folder.mkdir(exist_ok=True)
    shutil.copy(signed.certificate, folder / "certificate.pem")
    shutil.copy(signed.key, folder / "key.pem")
    return TlsFiles(folder / "certificate.pem", folder / "key.pem")


def replace(path, content):
    """As renewals do it: all at once, by a rename."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.rename(new, path)


def presented(port, client_files, authority):
    """The subject of the certificate that the server shows."""
    using = ["-cert", client_files.certificate, "-key", client_files.key]
    said = s_client(port, authority, *using)
    return next(line for line in said.splitlines() if line.startswith("subject="))


def test_changed_files_are_read_without_dropping_streams(
    server_files, client_files, authority, tmp_path, caplog
):
    """New connections get the new certificate, and a stream goes on; broken files change nothing."""
    caplog.set_level(logging.INFO, "recorder.rpc.tls")
    first = authority.sign("DNS:localhost", subject="first")
    second = authority.sign("DNS:localhost", subject="second")
    own = copied(first, tmp_path)
    files = TlsFiles(own.certificate, own.key, authority.certificate)

    async def run():
        seen = []
        async with (
            serving(Listening(tcp="127.0.0.1:0", tls=files)) as (server, _),
            on_tcp(server, client_files.files(), authority.certificate) as connection,
        ):

            async def look():
                seen.append(await asyncio.to_thread(presented, server.tcp_port, client_files, authority))

            stub = agent_pb2_grpc.AgentStub(connection.channel)
            stream = stub.Capture(pb.CaptureRequest(selection=pb.Selection(container="web")))
            assert (await stream.read()).HasField("started")
            await look()
            replace(own.certificate, second.certificate.read_bytes())  # and the key is still the first one's
            await look()
            replace(own.key, second.key.read_bytes())
            await look()
            replace(
                own.certificate, b"-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n"
            )
            await look()
            own.key.unlink()
            await look()
            assert (await stream.read()).HasField("snapshot")
            stream.cancel()
            return seen

    names = [line.rpartition(" ")[2] for line in asyncio.run(run())]
    assert names == ["first", "first", "second", "second", "second"]
    levels = [record.levelname for record in caplog.records]
    assert levels == ["ERROR", "INFO", "ERROR", "ERROR"]
    assert str(own.certificate) in caplog.records[0].getMessage()


def test_a_changed_ca_counts_for_the_next_connection(server_files, authority, stranger, tmp_path):
    """After the CA for clients is changed, clients of the old one are refused, of the new one served."""
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.certificate, ca)
    files = TlsFiles(server_files.certificate, server_files.key, ca)
    old, new = (each.sign("URI:spiffe://example.org/x") for each in (authority, stranger))

    async def works(server, signed):
        async with on_tcp(server, signed.files(), authority.certificate) as connection:
            try:
                await status(connection)
            except RemoteError:
                return False
            return True

    async def run():
        async with serving(Listening(tcp="127.0.0.1:0", tls=files)) as (server, _):
            before = [await works(server, each) for each in (old, new)]
            replace(ca, stranger.certificate.read_bytes())
            return before, [await works(server, each) for each in (old, new)]

    assert asyncio.run(run()) == ([True, False], [False, True])


def test_http_context_follows_the_files(client_files, authority, stranger, tmp_path):
    """For HTTP, too: the next context has the new CA alone; the old context is kept while nothing changes."""
    ca = tmp_path / "ca.pem"
    shutil.copy(authority.certificate, ca)
    served = authority.sign("DNS:localhost")
    tls = HttpTls(TlsFiles(served.certificate, served.key, ca))
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(authority.certificate)
    client.load_cert_chain(client_files.certificate, client_files.key)
    first = tls.context()
    assert tls.context() is first
    assert handshake(first, client)
    replace(ca, stranger.certificate.read_bytes())
    assert tls.context() is not first
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(tls.context(), client)


def test_files_that_cannot_be_used_are_named(server_files, client_files, authority, tmp_path):
    """A missing file, a key of another certificate, an encrypted key, a file without a CA."""
    ca = authority.certificate
    with pytest.raises(InvalidCertificate, match=r"nowhere.*No such file"):
        server_credentials(TlsFiles(tmp_path / "nowhere", server_files.key, ca))
    with pytest.raises(InvalidCertificate, match="key values mismatch"):
        server_credentials(TlsFiles(server_files.certificate, client_files.key, ca))
    with pytest.raises(InvalidCertificate, match="no CA for clients"):
        server_credentials(TlsFiles(server_files.certificate, server_files.key))
    encrypted = tmp_path / "encrypted.key"
    subprocess.run(
        ["openssl", "ec", "-in", server_files.key, "-aes128", "-passout", "pass:x", "-out", encrypted],
        check=True,
        capture_output=True,
    )
    with pytest.raises(InvalidCertificate, match="not encrypted"):
        server_credentials(TlsFiles(server_files.certificate, encrypted, ca))
    empty = tmp_path / "empty.pem"
    for content in ("nothing\n", ""):  # to ssl and gRPC, nothing at all may mean the system's CAs
        empty.write_text(content)
        for use in (
            lambda: channel_credentials(client_files.files(), empty),
            lambda: token_credentials("token", empty),
            lambda: server_credentials(client_files.files(empty)),
            lambda: HttpTls(client_files.files(empty)),
        ):
            with pytest.raises(InvalidCertificate, match=r"empty\.pem has no CA"):
                use()


def test_plain_tcp_is_refused():
    """A TCP address without certificates is a wrong setting."""
    with pytest.raises(InvalidSettings, match="needs a certificate"):
        Listening(tcp="127.0.0.1:7443")
