"""The image built twice: from this checkout, and from a copy of it elsewhere, without its layers."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.build.archive import Archive
from tests.deploy.build.image import NAME, ROOT, SINGLE, Storage

AGAIN = f"{NAME}:again"
FIRST, SECOND = "first.json", "second.json"


def copy_checkout(place: Path) -> None:
    """What the image is made from, with other times, other modes, and an object that is of another source."""
    for name in ("bpf", "recorder", "deploy", "scripts"):
        shutil.copytree(ROOT / name, place / name, copy_function=shutil.copyfile)
    for name in SINGLE:
        shutil.copyfile(ROOT / name, place / name)
    (place / "scripts/build_image.sh").chmod(0o755)
    objects = place / "recorder/kernel/objects"
    objects.mkdir(exist_ok=True)
    (objects / "syscalls.bpf.o").write_bytes(b"not of this source")


def build_twins(storage: Storage, archive: Path, folder: Path) -> Mapping[str, Any]:
    """Write what both say of their layers: the first is there, the second is built and thrown away."""
    copy_checkout(folder / "copy")
    try:
        storage.build(AGAIN, "--no-cache", root=folder / "copy")
        storage.save(AGAIN, folder / "again.tar")
    finally:
        storage.remove(AGAIN)
    for name, path in ((FIRST, archive), (SECOND, folder / "again.tar")):
        found = Archive.read(path)
        layers = {"layers": found.manifest["layers"], "contents": found.config["rootfs"]["diff_ids"]}
        (folder / name).write_text(json.dumps(layers, indent=1))
    (folder / "again.tar").unlink()
    shutil.rmtree(folder / "copy")
    return {"files": [FIRST, SECOND]}
