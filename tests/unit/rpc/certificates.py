"""Certificates for tests, made with the openssl command; they are valid for a day."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from recorder.rpc.tls import TlsFiles


def openssl(*arguments: object) -> None:
    subprocess.run(
        ["openssl", *map(str, arguments)],
        check=True,
        capture_output=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@dataclass(frozen=True)
class Signed:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path

    def files(self, client_ca: Path | None = None) -> TlsFiles:
        return TlsFiles(self.certificate, self.key, client_ca)


class Authority:
    """A CA in a folder of its own."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        self._serial = 0
        self._made_key(self._key)
        openssl(
            *("req", "-x509", "-new", "-key", self._key, "-subj", f"/CN={name}", "-days", 1),
            *("-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=keyCertSign"),
            *("-out", self.certificate),
        )

    @staticmethod
    def _made_key(path: Path) -> None:
        openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    def sign(
        self, names: str, *, subject: str = "somebody", expired: bool = False, purpose: str = ""
    ) -> Signed:
        """A certificate with these subject alternative names (`DNS:a,URI:b`, as openssl writes them).

        `purpose` is an extended key usage: serverAuth, clientAuth; empty: any.
        """
        self._serial += 1
        stem = self.folder / f"{self._serial}"
        key, certificate = stem.with_suffix(".key"), stem.with_suffix(".pem")
        request, extensions = stem.with_suffix(".csr"), stem.with_suffix(".ext")
        self._made_key(key)
        extensions.write_text(
            "basicConstraints=CA:false\n"
            + (f"subjectAltName={names}\n" if names else "")
            + (f"extendedKeyUsage={purpose}\n" if purpose else "")
        )
        openssl("req", "-new", "-key", key, "-subj", f"/CN={subject}", "-out", request)
        if expired:
            self._sign_expired(request, extensions, certificate)
        else:
            openssl(
                *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key),
                *("-CAserial", self.folder / "serial", "-CAcreateserial"),
                *("-days", 1, "-extfile", extensions, "-out", certificate),
            )
        return Signed(certificate, key)

    def _sign_expired(self, request: Path, extensions: Path, certificate: Path) -> None:
        # `openssl ca` alone takes a date in the past, and wants a database for it
        (self.folder / "index.txt").write_text("")
        config = self.folder / "ca.cnf"
        config.write_text(
            "[ca]\ndefault_ca = own\n[own]\n"
            f"database = {self.folder}/index.txt\nnew_certs_dir = {self.folder}\n"
            "rand_serial = yes\ndefault_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n"
        )
        openssl(
            *("ca", "-batch", "-notext", "-config", config, "-cert", self.certificate, "-keyfile", self._key),
            *("-startdate", "20200101000000Z", "-enddate", "20200102000000Z"),
            *("-extfile", extensions, "-in", request, "-out", certificate),
        )
