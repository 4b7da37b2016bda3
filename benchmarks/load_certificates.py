"""Certificates for many agents: one for each node, made with the openssl command, good for a day.

They share one key, which takes longer to make than to use: the collector looks at the names.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.load_cluster import node_name
from recorder.rpc.tls import TlsFiles


def _openssl(*arguments: object) -> None:
    subprocess.run(
        ["openssl", *map(str, arguments)], check=True, capture_output=True, stdin=subprocess.DEVNULL
    )


class LoadCertificates:
    """In a folder; `make` fills it, and what other processes make of the same folder reads it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.authority = folder / "ca.pem"

    @property
    def server(self) -> TlsFiles:
        """The collector's, for 127.0.0.1."""
        return TlsFiles(self._folder / "server.pem", self._folder / "key.pem", self.authority)

    def node(self, node: int) -> TlsFiles:
        """An agent's."""
        return TlsFiles(self._folder / f"{node_name(node)}.pem", self._folder / "key.pem")

    def make(self, nodes: int) -> None:
        """The CA's, the collector's, and those of nodes 0 and on."""
        folder = self._folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("ca.key", "key.pem"):
            _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / name)
        _openssl(
            *("req", "-x509", "-new", "-key", folder / "ca.key", "-subj", "/CN=load", "-days", 1),
            *("-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=keyCertSign"),
            *("-out", self.authority),
        )
        _openssl(
            "req", "-new", "-key", folder / "key.pem", "-subj", "/CN=load", "-out", folder / "request.csr"
        )
        self._sign("server", "IP:127.0.0.1", 1)
        with ThreadPoolExecutor(2) as pool:
            done = [
                pool.submit(
                    self._sign, node_name(each), f"URI:spiffe://recorder/node/{node_name(each)}", each + 2
                )
                for each in range(nodes)
            ]
            for each in done:
                each.result()

    def _sign(self, name: str, names: str, serial: int) -> None:
        folder = self._folder
        extensions = folder / f"{name}.ext"
        extensions.write_text(f"basicConstraints=CA:false\nsubjectAltName={names}\n")
        _openssl(
            *("x509", "-req", "-in", folder / "request.csr", "-CA", self.authority),
            *("-CAkey", folder / "ca.key", "-set_serial", serial, "-days", 1, "-extfile", extensions),
            *("-out", folder / f"{name}.pem"),
        )
        extensions.unlink()
