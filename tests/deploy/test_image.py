"""The image: the same from the same, without what built it, and whole under the restrictions of a pod."""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.build.image import ROOT
from tests.deploy.build.recipe import Recipes
from tests.guest.cache import Artefact

AGAIN = "localhost/profile-recorder:again"
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


@dataclass(slots=True)
class Archive:
    """An OCI archive (image-spec 1.0: oci-layout, index.json, blobs)."""

    manifest: dict[str, Any]
    config: dict[str, Any]
    layers: list[bytes]

    @classmethod
    def read(cls, path: Path) -> "Archive":
        with tarfile.open(path) as archive:

            def blob(digest: str) -> bytes:
                found = archive.extractfile(f"blobs/{digest.replace(':', '/')}")
                assert found
                data = found.read()
                assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
                return data

            index = archive.extractfile("index.json")
            assert index
            manifest = json.loads(blob(json.load(index)["manifests"][0]["digest"]))
            config = json.loads(blob(manifest["config"]["digest"]))
            return cls(manifest, config, [blob(each["digest"]) for each in manifest["layers"]])

    def files(self) -> Iterator[tarfile.TarInfo]:
        """Of the layers above the base."""
        for layer in self.layers[1:]:
            with tarfile.open(fileobj=io.BytesIO(layer)) as unpacked:
                yield from unpacked


@pytest.fixture(scope="module")
def archive(image: Artefact) -> Archive:
    return Archive.read(image / "image.tar")


def test_same_input_same_layers(recipes: Recipes, image: Artefact, archive: Archive, tmp_path: Path) -> None:
    """A checkout in another place, with other times and modes, gives the image byte for byte: stages that
    have the source in them are run again."""
    other = tmp_path / "other"
    for name in ("bpf", "recorder", "deploy", "scripts"):
        shutil.copytree(ROOT / name, other / name, copy_function=shutil.copyfile)
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "README.md", "LICENSE", ".dockerignore"):
        shutil.copyfile(ROOT / name, other / name)
    (other / "scripts/build_image.sh").chmod(0o755)
    # a file that is in no layer makes all stages that copy the source anew
    (other / "recorder/kernel/objects").mkdir(exist_ok=True)
    (other / "recorder/kernel/objects/stale.bpf.o").write_bytes(b"not of this source")
    try:
        recipes.storage.build(
            AGAIN, "--no-cache=true", "--build-arg", "APT_CONFIG=/run/secrets/apt.conf", root=other
        )
        recipes.storage.save(AGAIN, tmp_path / "again.tar")
    finally:
        recipes.storage.remove(AGAIN)
    again = Archive.read(tmp_path / "again.tar")
    assert again.config["rootfs"]["diff_ids"] == archive.config["rootfs"]["diff_ids"]
    assert again.manifest["layers"] == archive.manifest["layers"]
