"""The agent's private key and its request for a certificate, made by OpenSSL's libcrypto.

The ssl module has that library in the process already; a binding of its own for certificates would
take as much memory as all that is bounded in it, for two calls a day. Functions as of
OpenSSL 3.0: EVP_PKEY_Q_keygen(3), X509_REQ_sign(3), i2d_X509_REQ(3), i2d_PrivateKey(3).
"""

from __future__ import annotations

import base64
import ctypes
import functools
import textwrap
from dataclasses import dataclass
from typing import Any

from recorder.model.errors import InternalError, MissingLibrary

__all__ = ["NodeKey"]

LIBRARY = "libcrypto.so.3"
CURVE = b"P-256"


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A private key and a request for a certificate of it (PKCS #10), both PEM."""

    key: bytes
    request: bytes

    def __repr__(self) -> str:
        return "NodeKey()"  # for nobody's log

    @classmethod
    def made(cls) -> NodeKey:
        """A new one. MissingLibrary, InternalError."""
        crypto = _crypto()
        # the library, its properties, and the type, each with its default; then the type's own argument
        key = crypto.EVP_PKEY_Q_keygen(None, None, b"EC", ctypes.c_char_p(CURVE))
        request = crypto.X509_REQ_new()
        try:
            if not key or not request:
                raise InternalError("libcrypto makes no key: it may lack randomness, or memory")
            if not (
                crypto.X509_REQ_set_version(request, 0)
                and crypto.X509_REQ_set_pubkey(request, key)
                and crypto.X509_REQ_sign(request, key, crypto.EVP_sha256())
            ):
                raise InternalError("libcrypto does not sign a certificate request")
            return cls(
                _pem("EC PRIVATE KEY", _der(crypto.i2d_PrivateKey, key)),
                _pem("CERTIFICATE REQUEST", _der(crypto.i2d_X509_REQ, request)),
            )
        finally:
            crypto.X509_REQ_free(request)
            crypto.EVP_PKEY_free(key)


@functools.cache
def _crypto() -> Any:
    try:
        crypto = ctypes.CDLL(LIBRARY)
        pointer, number = ctypes.c_void_p, ctypes.c_int
        signatures: dict[str, tuple[Any, list[Any]]] = {
            # variadic: what follows is as its caller makes it
            "EVP_PKEY_Q_keygen": (pointer, [pointer, ctypes.c_char_p, ctypes.c_char_p]),
            "EVP_PKEY_free": (None, [pointer]),
            "EVP_sha256": (pointer, []),
            "X509_REQ_new": (pointer, []),
            "X509_REQ_free": (None, [pointer]),
            "X509_REQ_set_version": (number, [pointer, ctypes.c_long]),
            "X509_REQ_set_pubkey": (number, [pointer, pointer]),
            "X509_REQ_sign": (number, [pointer, pointer, pointer]),
            "i2d_X509_REQ": (number, [pointer, pointer]),
            "i2d_PrivateKey": (number, [pointer, pointer]),
        }
        for name, (result, arguments) in signatures.items():
            function = getattr(crypto, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise MissingLibrary(
            f"{LIBRARY} (OpenSSL 3.0 or newer) is needed to make the agent's key: {error}"
        ) from error
    return crypto


def _der(write: Any, thing: int) -> bytes:
    size = write(thing, None)
    if size <= 0:
        raise InternalError("libcrypto does not encode what it made")
    buffer = ctypes.create_string_buffer(size)
    place = ctypes.c_void_p(ctypes.addressof(buffer))
    if write(thing, ctypes.byref(place)) != size:  # which moves `place` to the end
        raise InternalError("libcrypto encodes the same thing in two ways")
    return buffer.raw


def _pem(label: str, der: bytes) -> bytes:
    body = "\n".join(textwrap.wrap(base64.b64encode(der).decode("ascii"), 64))
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()
