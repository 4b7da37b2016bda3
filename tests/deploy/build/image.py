"""The image, built by scripts/build_image.sh with a storage of its own, from a base that is made here.

No registry is asked: the base is a Debian of mmdebstrap's, under the name that the Dockerfile's FROM has.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.apt import Sites, fetch_options
from tests.guest.build.root import ALONE, LEFT_OUT
from tests.guest.build.tool import run_tool
from tests.guest.cache import digest_of

ROOT = Path(__file__).resolve().parents[3]
BASE = "docker.io/library/debian:bookworm-slim"
SUITE = "bookworm"
NAME = "localhost/profile-recorder"
EPOCH = "1700000000"
"""The time in all layers, so that their digests depend on what is in them alone."""
# how this machine fetches packages is in no layer
FORGET = 'rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap" "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*'


def make_base(folder: Path) -> Mapping[str, Any]:
    """Write `base.tar`, which has what the public image of that name has."""
    sources, options = folder / "sources.list", folder / "fetch.conf"
    sources.write_text(Sites.of_this_machine().lines([SUITE, f"{SUITE}-updates"], [f"{SUITE}-security"]))
    options.write_text(fetch_options())
    run_tool(
        *ALONE,
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=tar", "--quiet", f"--aptopt={options}"),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        f"--customize-hook={FORGET}",
        *(SUITE, folder / "base.tar", sources),
    )
    sources.unlink()
    options.unlink()
    return {"files": [BASE]}


SINGLE = ("Makefile", "pyproject.toml", "requirements.lock", "LICENSE", ".dockerignore")
"""Files of the context that are not in a folder of it."""


def settled_inputs(root: Path = ROOT) -> Iterator[Path]:
    """What says how it is built; not the recorder's own sources."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock", ".dockerignore"):
        yield root / name
    yield from (root / name for name in ("deploy/Dockerfile", "scripts/build_image.sh"))


def inputs(root: Path = ROOT) -> Iterator[Path]:
    """The files that the image is made from, sorted: as .dockerignore has them, and what builds it."""
    yield from (root / name for name in SINGLE)
    yield from (root / name for name in ("deploy/Dockerfile", "scripts/build_image.sh"))
    yield from sorted((root / "bpf").glob("*.[ch]"))
    for path in sorted((root / "recorder").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts and "objects" not in path.parts:
            yield path


def executables(root: Path = ROOT) -> Iterator[str]:
    """Those of the inputs that are programs: layers have modes, too."""
    return (str(path.relative_to(root)) for path in inputs(root) if path.stat().st_mode & 0o111)


def image_key(base_key: str, root: Path = ROOT) -> str:
    """Another one for each input."""
    parts = [part for path in inputs(root) for part in (str(path.relative_to(root)), path)]
    return digest_of(base_key, *executables(root), *parts)


class Storage:
    """Podman's, in a folder of its own; layers that are there already are not built again."""

    def __init__(self, folder: Path) -> None:
        places = {"--root": "root", "--runroot": "run", "--tmpdir": "tmp"}
        words = [word for flag, name in places.items() for word in (flag, str(folder / name))]
        self.folder = folder
        self.words = ("podman", *words, "--cgroup-manager=cgroupfs", "--events-backend=file")

    def has(self, name: str) -> bool:
        """Whether an image of that name is there."""
        images = run_tool(*self.words, "images", "--format", "{{.Repository}}:{{.Tag}}")
        return name.encode() in images.split()

    def import_base(self, tar: Path, key: str) -> None:
        """The base under its name, unless it is there from the same."""
        marked = f"localhost/base:{key[:16]}"
        if not self.has(marked):
            run_tool(*self.words, "import", "-q", "--change", 'CMD ["bash"]', tar, marked)
        run_tool(*self.words, "tag", marked, BASE)

    def build(self, name: str, *options: str, root: Path = ROOT, target: str = "runtime") -> None:
        """By the script that operators use."""
        environment = {
            "BUILDER": " ".join(self.words),
            "BASE": BASE,
            "TARGET": target,
            "SOURCE_DATE_EPOCH": EPOCH,
        }
        run_tool(root / "scripts/build_image.sh", name, "--pull=never", *options, env=environment)

    def load(self, archive: Path) -> None:
        """An archive that `save` wrote, under the name that it has there."""
        run_tool(*self.words, "load", "-q", "-i", archive)

    def save(self, name: str, archive: Path) -> None:
        """An OCI archive, which `ctr images import` and `podman load` take."""
        run_tool(*self.words, "save", "-q", "--format", "oci-archive", "-o", archive, name)

    def trim(self, limit: int = 8 << 30) -> None:
        """Remove all images when they take more than `limit` bytes: layers of sources that are no more."""
        size = sum(path.lstat().st_blocks * 512 for path in self.folder.rglob("*"))
        if size > limit:
            run_tool(*self.words, "rmi", "--all", "--force")

    def remove(self, *names: str) -> None:
        """Images, not the layers that others have too."""
        run_tool(*self.words, "rmi", "-f", *names)


def build_image(storage: Storage, base: Path, base_key: str, name: str, folder: Path) -> Mapping[str, Any]:
    """Write `image.tar`; facts: its name."""
    storage.import_base(base, base_key)
    storage.build(name)
    storage.save(name, folder / "image.tar")
    shutil.rmtree(folder / "tmp", ignore_errors=True)
    return {"files": [name]}
