"""An OCI image made here: an archive of one layer out of a folder, for whoever imports images.

`ctr images import` takes it, and so do podman and skopeo. No registry and no tool is needed.
The format is that of the OCI image specification 1.0 (image-layout.md, manifest.md, config.md).
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_TYPE = "application/vnd.oci.image."


class _Layout:
    """The archive, and what it holds so far."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive

    def add(self, name: str, data: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(data), 0o644
        self._archive.addfile(entry, io.BytesIO(data))

    def blob(self, kind: str, data: bytes) -> dict[str, Any]:
        """Add a blob; its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        self.add(f"blobs/sha256/{digest}", data)
        return {"mediaType": f"{_TYPE}{kind}", "digest": f"sha256:{digest}", "size": len(data)}


def _owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def write_image(archive: Path, name: str, rootfs: Path, args: Sequence[str]) -> Path:
    """Write the image `name` (such as localhost/test:1) with the contents of `rootfs`; returns `archive`."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(rootfs, arcname=".", filter=_owned_by_root)
    contents = layer.getvalue()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": list(args), "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(contents).hexdigest()}"]},
    }
    with tarfile.open(archive, "w") as tar:
        layout = _Layout(tar)
        layout.add("oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}manifest.v1+json",
            "config": layout.blob("config.v1+json", json.dumps(config).encode()),
            "layers": [layout.blob("layer.v1.tar", contents)],
        }
        # containerd takes the name from its own annotation, others from the specification's
        names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
        described = layout.blob("manifest.v1+json", json.dumps(manifest).encode()) | {"annotations": names}
        index = {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}index.v1+json",
            "manifests": [described | {"platform": {"architecture": "amd64", "os": "linux"}}],
        }
        layout.add("index.json", json.dumps(index).encode())
    return archive
