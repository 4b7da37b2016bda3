"""Real runtimes: a containerd with CRI of one's own, podman, and an image of busybox alone."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from recorder.containers.index import ContainerIndex
from recorder.containers.source import Source
from tests.containers.pods import IMAGE, SLEEP, Pods
from tests.truth import oci
from tests.truth.containerd import CRI_NAMESPACE, NAMESPACE, PAUSE, Containerd
from tests.truth.cri import Cri
from tests.truth.image import write_image


@pytest.fixture(scope="session")
def busybox_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root file system of one program."""
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed (make setup)")
    root = tmp_path_factory.mktemp("busybox")
    for name in ("bin", "proc", "dev", "sys", "etc"):
        (root / name).mkdir()
    shutil.copy(busybox, root / "bin/busybox")
    return root


@pytest.fixture(scope="session")
def archives(busybox_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The image of containers and the one that sandboxes pause with, by name."""
    folder = tmp_path_factory.mktemp("images")
    return {
        name: write_image(folder / f"{i}.tar", name, busybox_root, SLEEP)
        for i, name in enumerate((IMAGE, PAUSE))
    }


@pytest.fixture(scope="module")
def containerd(layout: oci.Layout, archives: dict[str, Path]) -> Iterator[Containerd]:
    """containerd with runc and both images."""
    if os.geteuid() != 0:
        pytest.skip("needs root to run containerd (sudo make test)")
    if shutil.which("containerd") is None:
        pytest.skip("containerd is not installed (make setup)")
    with Containerd("runc", layout) as containerd:
        containerd.import_image(archives[IMAGE], NAMESPACE)
        for archive in archives.values():
            containerd.import_image(archive, CRI_NAMESPACE)
        yield containerd


@pytest.fixture
def pods(containerd: Containerd, archives: dict[str, Path]) -> Iterator[Pods]:
    """Makes pods; they are gone after the test."""
    with Cri(containerd.socket) as cri:
        pods = Pods(containerd, cri, archives[IMAGE])
        try:
            yield pods
        finally:
            if containerd.process is None:
                containerd.start()
            pods.remove_all()


@contextlib.asynccontextmanager
async def following(*sources: Source, poll_seconds: float = 0.2) -> AsyncIterator[ContainerIndex]:
    """An index that runs within the `async with`, and still did at its end."""
    index = ContainerIndex(sources, limit=1000, poll_seconds=poll_seconds)
    task = asyncio.create_task(index.run())
    try:
        yield index
        assert not task.done()
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(what: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something to be true; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.01)
