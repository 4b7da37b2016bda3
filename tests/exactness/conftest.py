"""What the exactness tests share: places for workloads, and a database cluster to start from."""

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.exactness.installed import NotInstalledError, find
from tests.exactness.workloads import SCRIPTS, Place, Workload

_serial = itertools.count(1)


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own; gone after the session."""
    with tempfile.TemporaryDirectory(prefix="recorder-exactness-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def cluster(open_folder: Path) -> Path:
    """A fresh PostgreSQL cluster that belongs to nobody: to be copied."""
    data = open_folder / "cluster"
    data.mkdir()
    shutil.chown(data, "nobody", "nogroup")
    user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    options = ["--auth=trust", "--username=recorder", "--no-sync", "--encoding=UTF8", "--locale=C"]
    made = subprocess.run(
        [*user, find("initdb"), "-D", str(data), *options],
        cwd=open_folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return data


@pytest.fixture
def places(open_folder: Path) -> Iterator[Callable[[str], Path]]:
    """`places(name)`: a new, empty folder that every user may write to; gone after the test."""
    made: list[Path] = []

    def make(name: str) -> Path:
        folder = open_folder / f"{name.replace(' ', '-')}-{next(_serial)}"
        folder.mkdir()
        folder.chmod(0o777)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def scripts(open_folder: Path) -> Path:
    """The workloads' scripts, where every user may read them."""
    copy = open_folder / "scripts"
    copy.mkdir(0o755)
    for script in SCRIPTS.iterdir():
        shutil.copy(script, copy / script.name)
        (copy / script.name).chmod(0o644)
    return copy


@pytest.fixture
def prepare(
    request: pytest.FixtureRequest,
    places: Callable[[str], Path],
    built_programs: dict[str, Path],
    scripts: Path,
) -> Callable[[Workload], tuple[list[str], Path]]:
    """`prepare(workload)`: its command line and a fresh folder for it; skips what is not installed."""

    def make(workload: Workload) -> tuple[list[str], Path]:
        folder = places(workload.name)
        try:
            words = workload.words(Place(folder, built_programs, scripts))
        except NotInstalledError as reason:
            pytest.skip(str(reason))
        if workload.name == "postgres":
            data = request.getfixturevalue("cluster")
            subprocess.run(["cp", "-a", data, folder / "data"], check=True)
        return words, folder

    return make
