"""A certificate authority: its key signs what agents, collectors and clients show each other.

X.509 as RFC 5280 has it. Of a request (PKCS #10) the key alone counts: names and purposes are
those that the authority gives.
"""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from recorder.model.errors import InvalidCertificate, InvalidRequest
from recorder.rpc.names import shown
from recorder.rpc.peer import dns_name, uri_name

__all__ = [
    "BACKDATED",
    "MAX_REQUEST",
    "Authority",
    "Certificate",
    "Key",
    "Purpose",
    "key_pem",
    "new_key",
    "requested_key",
]

BACKDATED = 300
"""Seconds by which a certificate begins before it is made, a tenth of its time at most: clocks differ."""
MAX_REQUEST = 16 << 10
"""Bytes of a request: one of a key of RSA with 4,096 bits has 1,700."""

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
_CURVES = (ec.SECP256R1, ec.SECP384R1)
"""Those that both OpenSSL and BoringSSL (gRPC) take by default."""


class Purpose(Enum):
    """What a certificate is for (RFC 5280, 4.2.1.12): to be shown by a client, a server, or both."""

    CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
    BOTH = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as PEM; `begins` and `ends` in Unix time."""

    pem: bytes
    begins: float
    ends: float

    @classmethod
    def parse(cls, pem: bytes, where: str) -> Certificate:
        """The first one of a file's content. InvalidCertificate, with `where` in front."""
        try:
            found = x509.load_pem_x509_certificate(pem)
        except ValueError as error:
            raise InvalidCertificate(f"{where} holds no certificate: {error}; expected is PEM") from error
        return cls.of(found)

    @property
    def names(self) -> tuple[str, ...]:
        """Its URIs and DNS names."""
        try:
            found = self._loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except x509.ExtensionNotFound:
            return ()
        uris = found.get_values_for_type(x509.UniformResourceIdentifier)
        return (*uris, *found.get_values_for_type(x509.DNSName))

    def is_signed_by(self, authority: Certificate) -> bool:
        """Whether that CA's key signed it."""
        try:
            self._loaded.verify_directly_issued_by(authority._loaded)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    @property
    def _loaded(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.pem)

    @classmethod
    def of(cls, found: x509.Certificate) -> Certificate:
        """As the library has it."""
        return cls(
            found.public_bytes(serialization.Encoding.PEM),
            found.not_valid_before_utc.timestamp(),
            found.not_valid_after_utc.timestamp(),
        )


@dataclass(frozen=True, slots=True)
class Authority:
    """A key and its certificate. Times are Unix time and seconds."""

    key: Key
    certificate: x509.Certificate

    @classmethod
    def made(cls, now: float, life: float, name: str = "recorder CA") -> Authority:
        """A new one; its name has a random end, so that two of one bundle are told apart."""
        key = new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} {secrets.token_hex(4)}")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_time(now - min(BACKDATED, life / 10)))
            .not_valid_after(_time(now + life))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)

    @classmethod
    def parse(cls, key: bytes, certificate: bytes, where: str) -> Authority:
        """From two PEM texts, which may be the same. InvalidCertificate, with `where` in front."""
        try:
            found = x509.load_pem_x509_certificate(certificate)
            loaded = serialization.load_pem_private_key(key, None)
        except (ValueError, TypeError) as error:
            raise InvalidCertificate(
                f"{where} holds no CA: {error}; expected are a certificate and its key, not encrypted, as PEM"
            ) from error
        if not isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise InvalidCertificate(f"{where}: the CA's key is neither of RSA nor of an elliptic curve")
        if loaded.public_key() != found.public_key():
            raise InvalidCertificate(f"{where}: the key is not that of the certificate")
        try:
            signs = found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (x509.ExtensionNotFound, ValueError):
            signs = False
        if not signs:
            raise InvalidCertificate(f"{where}: the certificate is not a CA's (basicConstraints, CA:TRUE)")
        return cls(loaded, found)

    @property
    def own(self) -> Certificate:
        """Its certificate, which others are to trust."""
        return Certificate.of(self.certificate)

    @property
    def pem(self) -> bytes:
        """Key and certificate."""
        return key_pem(self.key) + self.own.pem

    def sign(
        self, key: _PublicKey, names: Sequence[str], purpose: Purpose, now: float, life: float
    ) -> Certificate:
        """A certificate of these URIs and DNS names; it ends with the CA's own at the latest.

        InvalidRequest for what is no name, and for none at all.
        """
        if not names:
            raise InvalidRequest("a certificate needs a name: give a URI or a DNS name")
        own = self.own
        begins = max(now - min(BACKDATED, life / 10), own.begins)
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(_time(begins))
            .not_valid_after(_time(min(now + life, own.ends)))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purpose.value), critical=False)
            # critical, since there is no subject (RFC 5280, 4.2.1.6)
            .add_extension(x509.SubjectAlternativeName([_name(each) for each in names]), critical=True)
            .add_extension(self._key_identifier(), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return Certificate.of(made)

    def _key_identifier(self) -> x509.AuthorityKeyIdentifier:
        # as the CA's certificate has it, however its maker computed it: another one would not match
        try:
            found = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(found)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A new key, of the curve P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: Key) -> bytes:
    """A private key as PEM (PKCS #8), not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def requested_key(request: bytes) -> _PublicKey:
    """The key of a request as PEM, by which it is signed. InvalidRequest if it is none that counts."""
    if len(request) > MAX_REQUEST:
        raise InvalidRequest(
            f"the certificate request has {len(request)} bytes; at most {MAX_REQUEST} are taken"
        )
    try:
        found = x509.load_pem_x509_csr(request)
        key = found.public_key()
        proved = found.is_signature_valid
    except (ValueError, TypeError, InvalidSignature) as error:
        raise InvalidRequest(f"this is no certificate request (PKCS #10, as PEM): {error}") from error
    except (
        Exception
    ) as error:  # UnsupportedAlgorithm and what the library raises for keys that it does not know
        if type(error).__module__.partition(".")[0] != "cryptography":
            raise
        raise InvalidRequest(f"the certificate request cannot be used: {error}") from error
    if not proved:
        raise InvalidRequest("the certificate request is not signed by its own key")
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 8192:
        return key
    raise InvalidRequest(
        "the certificate request has a key that is not taken: use P-256, P-384, or RSA from 2,048 bits"
    )


def _name(text: str) -> x509.GeneralName:
    if ":" in text and uri_name(text):
        return x509.UniformResourceIdentifier(text)
    if dns_name(text):
        return x509.DNSName(dns_name(text))
    raise InvalidRequest(f"{shown(text)} is no name for a certificate: expected is a URI or a DNS name")


def _time(seconds: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )
