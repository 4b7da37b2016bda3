"""The root file system of the containers here, the watched cgroup, and the means to look at it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.phases import watch as watching
from tests.phases.watch import Watch, WatchedContainer
from tests.truth import oci

STATIC = ("five", "five32", "rawsys", "signals", "memfd_exec", "nested", "hook")
SHELL = ("sh", "cat", "mkdir", "true")


@pytest.fixture(scope="package")
def rootfs(tmp_path_factory: pytest.TempPathFactory, built_programs: dict[str, Path]) -> Path:
    """A root file system with programs of known calls, and a shell for hooks."""
    inside = {f"/{name}": built_programs[name] for name in STATIC}
    inside |= {f"/bin/{name}": Path("/bin") / name for name in SHELL}
    root = oci.make_rootfs(tmp_path_factory.mktemp("phases") / "root", inside)
    script = root / "script"
    script.write_text("#!/five\n")
    script.chmod(0o755)
    return root


@pytest.fixture
def container_parent(layout: oci.Layout) -> Iterator[Path]:
    """The cgroup below which a WatchedContainer has its own; gone after the test."""
    path = watching.watched_root(layout)
    path.mkdir(parents=True)
    yield path
    layout.remove(watching.BELOW)


@pytest.fixture
def watch(container_parent: Path) -> Iterator[Watch]:
    """Records every container that is made while it is there, by the kernel room itself."""
    with Watch(container_parent) as watch:
        yield watch


@pytest.fixture
def container(
    oci_runtime: str, container_parent: Path, tmp_path: Path, rootfs: Path
) -> Callable[..., WatchedContainer]:
    """`container(args, **configuration)`: one that is yet to be made, of each runtime in turn."""

    def prepare(*args: str, **more: object) -> WatchedContainer:
        return WatchedContainer.prepare(oci_runtime, tmp_path, rootfs, args, **more)

    return prepare
