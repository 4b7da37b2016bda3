"""Where runtimes that serve the CRI listen. Apart from what speaks with them, which needs gRPC."""

from __future__ import annotations

from pathlib import Path

ENDPOINTS = (
    "run/containerd/containerd.sock",
    "run/crio/crio.sock",
    "run/k3s/containerd/containerd.sock",
    "run/k0s/containerd.sock",
    "var/snap/microk8s/common/run/containerd.sock",
    "run/cri-dockerd.sock",
    "var/run/containerd/containerd.sock",
    "var/run/crio/crio.sock",
)
"""Below the machine's root."""


def endpoints(root: Path = Path("/")) -> list[Path]:
    """The usual sockets that are there, each once. `root`: where the machine's file system is."""
    found: dict[Path, Path] = {}
    for path in (root / each for each in ENDPOINTS):
        try:
            if path.is_socket():
                found.setdefault(path.resolve(), path)
        except OSError:
            continue
    return list(found.values())
