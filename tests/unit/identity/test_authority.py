"""What the CA signs, with the openssl command as the judge, and what it refuses to sign."""

import subprocess
import time

import pytest

from recorder.identity.authority import (
    BACKDATED,
    Authority,
    Certificate,
    Purpose,
    key_pem,
    new_key,
    requested_key,
)
from recorder.model.errors import InvalidCertificate, InvalidRequest
from tests.unit.rpc.certificates import openssl

NODE = "spiffe://recorder/node/node-a"


def made(folder, life=3600.0):
    authority = Authority.made(time.time(), life)
    (folder / "ca.pem").write_bytes(authority.own.pem)
    return authority


def said(*arguments):
    found = subprocess.run(["openssl", *map(str, arguments)], check=False, capture_output=True, text=True)
    return found.stdout + found.stderr


def verified(folder, certificate, purpose):
    """What `openssl verify` says of a certificate for a purpose (sslclient, sslserver)."""
    (folder / "leaf.pem").write_bytes(certificate.pem)
    return said(
        "verify", "-x509_strict", "-CAfile", folder / "ca.pem", "-purpose", purpose, folder / "leaf.pem"
    )


def request(folder, *new, key=()):
    """A request as the openssl command makes it."""
    openssl("req", "-new", "-nodes", "-subj", "/CN=root", *new, "-keyout", folder / "k", "-out", folder / "r")
    return (folder / "r").read_bytes()


@pytest.mark.parametrize(
    ("purpose", "client", "server"),
    [(Purpose.CLIENT, True, False), (Purpose.SERVER, False, True), (Purpose.BOTH, True, True)],
)
def test_a_certificate_is_for_its_purpose_alone(tmp_path, purpose, client, server):
    """An agent's certificate serves nobody, and the collector's is no agent's."""
    authority = made(tmp_path)
    leaf = authority.sign(new_key().public_key(), [NODE, "a.example"], purpose, time.time(), 60)
    for asked, expected in (("sslclient", client), ("sslserver", server)):
        assert verified(tmp_path, leaf, asked).endswith("leaf.pem: OK\n") is expected, asked
    names = said("x509", "-noout", "-ext", "subjectAltName", "-in", tmp_path / "leaf.pem")
    assert f"URI:{NODE}, DNS:a.example" in names


def test_of_a_request_the_key_alone_counts(tmp_path):
    """Names and extensions that somebody asked for are not in the certificate, which is no CA's."""
    authority = made(tmp_path)
    asked = request(
        tmp_path,
        *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-addext", "subjectAltName=URI:spiffe://recorder/node/node-b,DNS:evil"),
        *("-addext", "basicConstraints=critical,CA:true", "-addext", "extendedKeyUsage=serverAuth"),
    )
    leaf = authority.sign(requested_key(asked), [NODE], Purpose.CLIENT, time.time(), 60)
    assert leaf.names == (NODE,)
    verified(tmp_path, leaf, "sslclient")
    text = said("x509", "-noout", "-text", "-in", tmp_path / "leaf.pem")
    assert "node-b" not in text
    assert "evil" not in text
    assert "CA:FALSE" in text
    assert "Server" not in text
    theirs = said("pkey", "-pubout", "-in", tmp_path / "k")
    assert said("x509", "-noout", "-pubkey", "-in", tmp_path / "leaf.pem") == theirs


@pytest.mark.parametrize(
    "new",
    [
        ["-newkey", "rsa:2048"],
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"],
    ],
)
def test_keys_that_are_taken(tmp_path, new):
    """P-384, and RSA from 2,048 bits on, besides P-256."""
    leaf = made(tmp_path).sign(
        requested_key(request(tmp_path, *new)), [NODE], Purpose.CLIENT, time.time(), 60
    )
    assert verified(tmp_path, leaf, "sslclient").endswith("OK\n")


@pytest.mark.parametrize(
    "new",
    [
        ["-newkey", "rsa:1024"],
        ["-newkey", "ed25519"],
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    ],
)
def test_keys_that_are_not_taken(tmp_path, new):
    """Weak ones, and those that not every side of the protocol can use."""
    with pytest.raises(InvalidRequest):
        requested_key(request(tmp_path, *new))


def test_what_is_no_request(tmp_path):
    """Nothing, noise, a certificate, one that is cut, too long, or signed by another key."""
    good = request(tmp_path, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
    lines = good.decode().splitlines()
    forged = [*lines[:-2], lines[-2][:-8] + "AAAAAAA=", lines[-1], ""]
    for each in (
        b"",
        b"noise",
        made(tmp_path).own.pem,
        good[:200],
        good + b"x" * (16 << 10),
        "\n".join(forged).encode(),
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    ):
        with pytest.raises(InvalidRequest):
            requested_key(each)


@pytest.mark.parametrize("name", ["", "no name", "*.example.org", "a b", "ä", "10.0.0.1:1"])
def test_names_that_no_certificate_has(tmp_path, name):
    """Wildcards and noise are refused; so is a certificate without any name."""
    with pytest.raises(InvalidRequest):
        made(tmp_path).sign(new_key().public_key(), [name] if name else [], Purpose.CLIENT, time.time(), 60)


def test_the_time_of_a_certificate(tmp_path):
    """It begins some minutes ago, for clocks that differ, and never outlives its CA."""
    now = time.time()
    authority = made(tmp_path, life=100_000)
    short = authority.sign(new_key().public_key(), [NODE], Purpose.CLIENT, now, 50)
    long = authority.sign(new_key().public_key(), [NODE], Purpose.CLIENT, now, 1e6)
    assert abs(short.begins - (now - 5)) < 2  # a tenth of its time at most
    assert abs(long.begins - (now - BACKDATED)) < 2
    assert abs(short.ends - (now + 50)) < 2
    assert abs(long.ends - (now + 100_000)) < 2


def test_a_ca_that_openssl_made(tmp_path):
    """Another program's CA signs as well, whatever its key identifier is made of; RSA as EC."""
    for number, new in enumerate(
        (["-newkey", "rsa:2048"], ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
    ):
        certificate, key = tmp_path / "ca.pem", tmp_path / f"{number}.key"
        config = tmp_path / "ca.cnf"
        config.write_text(
            "[req]\ndistinguished_name=dn\nx509_extensions=v3\n[dn]\n[v3]\nbasicConstraints=critical,CA:true\n"
            "keyUsage=critical,keyCertSign\nsubjectKeyIdentifier=0102030405060708\n"
        )
        openssl(
            *("req", "-x509", "-nodes", *new, "-days", 1, "-subj", "/CN=theirs", "-config", config),
            *("-keyout", key, "-out", certificate),
        )
        authority = Authority.parse(key.read_bytes(), certificate.read_bytes(), "theirs")
        leaf = authority.sign(new_key().public_key(), [NODE], Purpose.CLIENT, time.time(), 60)
        assert verified(tmp_path, leaf, "sslclient").endswith("OK\n")
        assert leaf.is_signed_by(authority.own)


def test_what_is_no_ca(tmp_path):
    """A certificate that may not sign, another's key, and noise."""
    authority, other = made(tmp_path), made(tmp_path)
    key = new_key()
    leaf = authority.sign(key.public_key(), [NODE], Purpose.CLIENT, time.time(), 60)
    for private, certificate in (
        (key_pem(key), leaf.pem),
        (key_pem(other.key), authority.own.pem),
        (b"noise", authority.own.pem),
        (authority.pem, b"noise"),
    ):
        with pytest.raises(InvalidCertificate):
            Authority.parse(private, certificate, "where")
    with pytest.raises(InvalidCertificate):
        Certificate.parse(b"noise", "where")
    assert not leaf.is_signed_by(other.own)
