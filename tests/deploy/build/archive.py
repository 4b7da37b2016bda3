"""An image as one file: what an OCI archive says (image-spec 1.0: oci-layout, index.json, blobs)."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Archive:
    """`layers`: as they are stored, the base's first."""

    manifest: dict[str, Any]
    config: dict[str, Any]
    layers: tuple[bytes, ...]

    @classmethod
    def read(cls, path: Path) -> "Archive":
        """From the file; ValueError if a blob is not what its name says."""
        with tarfile.open(path) as archive:

            def content(name: str) -> bytes:
                found = archive.extractfile(name)
                if found is None:
                    raise ValueError(f"{path}: {name} is no file")
                return found.read()

            def blob(digest: str) -> bytes:
                data = content(f"blobs/{digest.replace(':', '/')}")
                if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
                    raise ValueError(f"{path}: {digest} has another content")
                return data

            index = json.loads(content("index.json"))
            manifest = json.loads(blob(index["manifests"][0]["digest"]))
            config = json.loads(blob(manifest["config"]["digest"]))
            return cls(manifest, config, tuple(blob(each["digest"]) for each in manifest["layers"]))

    def files(self) -> Iterator[tarfile.TarInfo]:
        """Of the layers above the base."""
        for layer in self.layers[1:]:
            with tarfile.open(fileobj=io.BytesIO(layer)) as unpacked:
                yield from unpacked
