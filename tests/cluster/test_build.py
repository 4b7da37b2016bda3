"""The programs in the cache: what Debian's source says they are, noticed when damaged, made once."""

import dataclasses
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cluster.api_server import Programs
from tests.cluster.build.recipe import Lock, Recipes
from tests.cluster.errors import ClusterError
from tests.cluster.start import find_programs
from tests.guest.cache import Cache, DamagedError

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "kube-controller-manager"


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.cluster", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.usefixtures("programs")
def test_programs_say_what_the_lock_says(cluster_cache: Cache) -> None:
    """They run, and are of that version."""
    for name in Lock.read().components:
        program = Recipes(cluster_cache).component(name) / name
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True)
        assert said.stdout == f"Kubernetes v{Lock.read().version}\n"


@pytest.mark.usefixtures("programs")
def test_source_is_debians(cluster_cache: Cache) -> None:
    """The archive's index, which is signed, names each file: apt takes no other."""
    lock = Lock.read()
    files = Recipes(cluster_cache).source().facts["files"]
    endings = ("dsc", "orig.tar.", "debian.tar.")
    for ending in endings:
        assert any(name.startswith(f"{lock.source}_") and ending in name for name in files)


@pytest.mark.usefixtures("programs")
def test_nothing_is_made_twice() -> None:
    """`make cluster` again is over in well under a second, and says that all is there."""
    begin = time.monotonic()
    said = command("build")
    assert said.returncode == 0
    assert "making" not in said.stderr
    assert "all there" in said.stderr
    assert time.monotonic() - begin < 2


@pytest.fixture
def copied(cluster_cache: Cache, programs: Programs, tmp_path: Path) -> Cache:
    """A cache of one's own with one program; the times of its files are new, and believed after a look."""
    cache = Cache(tmp_path / "cluster")
    place = programs.controller_manager.parent
    shutil.copytree(place, cache.artefacts / place.name)
    return cache


@pytest.mark.parametrize("damage", ["byte", "short", "gone"])
def test_a_damaged_program_is_noticed(copied: Cache, damage: str) -> None:
    """It is neither run nor taken for built."""
    found = Recipes(copied).find(PROGRAM)
    assert found is not None
    program = found / PROGRAM
    if damage == "gone":
        program.unlink()
    else:
        with program.open("r+b") as file:
            if damage == "byte":
                file.seek(program.stat().st_size // 2)
                byte = file.read(1)
                file.seek(-1, 1)
                file.write(bytes([byte[0] ^ 1]))
            else:
                file.truncate(program.stat().st_size - 1)
    with pytest.raises(DamagedError):
        Recipes(copied).find(PROGRAM)


def test_what_is_not_built_is_said(tmp_path: Path) -> None:
    """With the command that builds it."""
    with pytest.raises(ClusterError, match=r"is not built \(make cluster\)"):
        find_programs(Cache(tmp_path))


def test_another_version_is_another_program(copied: Cache) -> None:
    """A changed lock does not take what the old one made."""
    lock = dataclasses.replace(Lock.read(), version="1.20.3")
    assert Recipes(copied, lock=lock).find(PROGRAM) is None


@pytest.mark.usefixtures("programs")
def test_nothing_is_left_of_a_run(cluster_cache: Cache) -> None:
    """No process, no data; and the command inside had an API server."""
    said = command("run", "--", "sh", "-c", "echo $KUBECONFIG; kubectl get --raw /readyz")
    assert said.returncode == 0, said.stderr
    config, ready = said.stdout.splitlines()
    assert ready == "ok"
    folder = Path(config).parent
    assert folder.parent == cluster_cache.run
    assert not folder.exists()
    named = [
        path
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if path.exists() and str(folder).encode() in path.read_bytes()
    ]
    assert named == []
