"""What was recorded without a profile runs under the profile that was made of it; needs AppArmor."""

import contextlib
import ctypes
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.path_tree import THRESHOLDS
from tests.guest.inside.accesses.workloads import WORKLOADS, Workload
from tests.phases.watch import BELOW, WatchedContainer, watched_root
from tests.truth import oci
from tests.truth.audit_avc import AvcReader

LIBC = ctypes.CDLL(None, use_errno=True)
MNT_DETACH = 2
RUNTIMES = ("runc", "crun")
MARKER = "/outside-of-the-profile"


def _mount(source: str, place: Path, kind: str, data: str = "") -> None:
    place.mkdir(exist_ok=True)
    words = (source.encode(), os.fsencode(place), kind.encode(), 0, data.encode())
    assert LIBC.mount(*words) == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def _rootfs(folder: Path, workload: Workload) -> Iterator[Path]:
    """This machine's own root below an overlay, as images are, with the files of the workload."""
    layers = folder / "layers"
    _mount("none", layers, "tmpfs")
    try:
        for name in ("upper", "work"):
            (layers / name).mkdir()
        for inside, text in workload.files:
            place = layers / "upper" / inside.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        _mount(
            "overlay",
            folder / "root",
            "overlay",
            f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work",
        )
        try:
            yield folder / "root"
        finally:
            LIBC.umount2(os.fsencode(folder / "root"), MNT_DETACH)
    finally:
        LIBC.umount2(os.fsencode(layers), MNT_DETACH)


def _run(folder: Path, runtime: str, workload: Workload, text: str, profile: str = "") -> oci.Ended:
    """In a container with a root file system of its own."""
    here = folder / uuid.uuid4().hex
    here.mkdir()
    with _rootfs(here, workload) as root:
        container = WatchedContainer.prepare(
            runtime,
            here,
            root,
            ("/bin/sh", "-c", text),
            host_network=True,
            capabilities=(*oci.CAPABILITIES, *workload.capabilities),
        )
        if profile:
            container.config["process"]["apparmorProfile"] = profile
        with container as it:
            return it.run()


@contextlib.contextmanager
def _loaded(text: str) -> Iterator[None]:
    load = ["apparmor_parser", "--replace", "--skip-cache", "--quiet"]
    subprocess.run(load, input=text.encode(), check=True, timeout=240)
    try:
        yield
    finally:
        remove = ["apparmor_parser", "--remove", "--quiet"]
        subprocess.run(remove, input=text.encode(), check=False, timeout=120)


@pytest.fixture
def parent(layout, recorder) -> Iterator[None]:
    """The cgroup below which containers are; each that is made there is recorded."""
    place = watched_root(layout)
    place.mkdir(parents=True, exist_ok=True)
    identity = place.stat().st_ino
    recorder.backend.watch(identity, WatchRule(SlotMode.MODE_CONTAINER))
    yield
    recorder.backend.unwatch(identity)
    for target in recorder.backend.targets():
        recorder.release(target)
    layout.remove(BELOW)


def _recorded(recorder):
    """Accesses of the only container that there was."""
    [target] = recorder.backend.targets()
    seen = recorder.watch.read(target, final=True).accesses
    recorder.release(target)
    return seen


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_runs_under_the_profile_that_was_made_of_it(name, tmp_path, recorder, parent, scaled):
    """Ten times, by either runtime, without a denial; and what is outside of it is denied."""
    workload = WORKLOADS[name]
    runtime = RUNTIMES[sorted(WORKLOADS).index(name) % 2]
    done = _run(tmp_path, runtime, workload, f"({workload.text})")
    assert done.status == 0, done
    profile = f"round-trip-{uuid.uuid4().hex[:8]}"
    text = to_text(apparmor_rules([_recorded(recorder)], THRESHOLDS), profile)
    # the shell that runs the workload is in the profile, so that what it is denied is the file
    outside = Workload("", (*workload.files, (MARKER, "x\n")), workload.capabilities)
    with _loaded(text):
        for each in RUNTIMES[:: -1 if runtime == "runc" else 1][: scaled(20, least=1)] * scaled(10, least=1):
            within = f"({workload.text}); status=$?; read line <{MARKER} && exit 99; exit $status"
            with AvcReader() as reader:
                done = _run(tmp_path, each, outside, within, profile)
                records = reader.until(MARKER.encode())
            denied = [each.text for each in records if b'"DENIED"' in each.text]
            assert (done.status, denied) == (0, []), f"{done}\n{text}"
            _recorded(recorder)
