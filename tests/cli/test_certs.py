"""`recorder certs`: certificates by hand, which real servers and clients then use."""

import asyncio
import os
import stat
import subprocess

import pytest

from recorder.cli.main import main
from recorder.model.errors import Unreachable, Untrusted
from recorder.rpc.server import Listening
from recorder.rpc.tls import TlsFiles
from tests.unit.rpc.servicer import failure, on_tcp, serving, status


@pytest.fixture
def certs(capsys):
    """Runs `recorder certs`: what it printed; if it should fail, what it said of it."""

    def run(*words, ok=True):
        status = main(["certs", *map(str, words)])
        said = capsys.readouterr()
        assert (status == 0) is ok, said
        return said.out if ok else said.err

    return run


@pytest.fixture
def folder(tmp_path, certs):
    """That of a CA."""
    certs("init", tmp_path / "ca")
    return tmp_path / "ca"


@pytest.fixture
def issue(folder, certs):
    """`issue(name, *words)`: the files of a new certificate."""

    def run(name, *words):
        files = TlsFiles(folder / f"{name}.crt", folder / f"{name}.key")
        certs("issue", folder, *words, "-o", files.certificate, "--key", files.key)
        return files

    return run


def ask(server, client, ca, what):
    """What becomes of a client's question to a server; both trust `ca`."""
    where = Listening(tcp="127.0.0.1:0", tls=TlsFiles(server.certificate, server.key, ca))

    async def run():
        async with serving(where) as (made, _), on_tcp(made, client, ca, "localhost") as connection:
            return await what(connection)

    return asyncio.run(run())


def answer(server, client, ca):
    """The names in the client's certificate, as the server sees them."""
    return ask(server, client, ca, status)


def refused(server, client, ca):
    """Whether there is no connection."""
    error = ask(server, client, ca, lambda connection: failure(lambda: status(connection)))
    return isinstance(error, Untrusted | Unreachable)


def test_a_network_by_hand(folder, issue):
    """A server, an agent and a client of one CA know each other, each for what it is alone."""
    server = issue("server", "--server", "localhost")
    agent = issue("agent", "--node", "node-a")
    both = issue("both", "--node", "node-b", "--server", "localhost")
    client = issue("client", "--client", "spiffe://example.org/ci", "--client", "ci.example.org")
    ca = folder / "ca.crt"
    assert answer(server, agent, ca) == "spiffe://recorder/node/node-a"
    assert answer(server, client, ca) == "spiffe://example.org/ci, ci.example.org"
    assert answer(both, agent, ca) == "spiffe://recorder/node/node-a"
    assert answer(server, both, ca) == "spiffe://recorder/node/node-b, localhost"
    assert refused(agent, client, ca)
    assert refused(server, server, ca)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
    assert {mode for name, mode in modes.items() if name.endswith(".key") or name == "ca.pem"} == {0o600}


def test_a_new_ca_beside_the_old_one(folder, issue, certs):
    """After `rotate` certificates of both are taken by who has the new bundle."""
    server, old = issue("server", "--server", "localhost"), issue("old", "--node", "node-a")
    before = (folder / "ca.crt").read_bytes()
    said = certs("rotate", folder)
    assert "2 CAs" in said
    new = issue("new", "--node", "node-b")
    assert answer(server, old, folder / "ca.crt") == "spiffe://recorder/node/node-a"
    assert answer(server, new, folder / "ca.crt") == "spiffe://recorder/node/node-b"
    alone = folder / "before.crt"
    alone.write_bytes(before)
    assert refused(server, new, alone)


def test_a_key_that_stays_where_it_is(folder, certs, tmp_path):
    """Of a request alone; the certificate has the names that are given here, not those of the request."""
    subprocess.run(
        [
            *("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-subj", "/CN=x", "-addext", "subjectAltName=DNS:evil", "-keyout", tmp_path / "k"),
            *("-out", tmp_path / "r"),
        ],
        check=True,
        capture_output=True,
    )
    certs("issue", folder, "--node", "node-a", "--request", tmp_path / "r", "-o", tmp_path / "c", "--days", 2)
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-text", "-in", tmp_path / "c"], check=True, capture_output=True
    ).stdout.decode()
    assert "URI:spiffe://recorder/node/node-a" in text
    assert "evil" not in text


def test_what_makes_no_sense(folder, certs, tmp_path):
    """Each is refused with what to do, and no file is written."""
    out = tmp_path / "out"
    to = ["-o", out / "c", "--key", out / "k"]
    out.mkdir()
    assert "rotate" in certs("init", folder, ok=False)
    assert "init" in certs("rotate", tmp_path / "none", ok=False)
    assert "init" in certs("issue", tmp_path / "none", "--node", "a", *to, ok=False)
    assert "--node" in certs("issue", folder, *to, ok=False)
    assert "--key" in certs("issue", folder, "--node", "a", "-o", out / "c", ok=False)
    assert "of its own" in certs("issue", folder, "--node", "a", "--client", "b", *to, ok=False)
    assert "no node's name" in certs("issue", folder, "--node", "../a", *to, ok=False)
    assert "no name for a certificate" in certs("issue", folder, "--server", "*.example.org", *to, ok=False)
    assert "36,500" in certs("issue", folder, "--node", "a", "--days", 0, *to, ok=False)
    assert "cannot read" in certs(
        "issue", folder, "--node", "a", "--request", out / "no", "-o", out / "c", ok=False
    )
    assert os.listdir(out) == []
    assert not (tmp_path / "none").exists()
