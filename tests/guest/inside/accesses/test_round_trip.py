"""What was recorded without a profile runs under the profile that was made of it; needs AppArmor.

As AppArmor's own text, and as an AppArmorProfile object that was installed.
"""

import contextlib
import ctypes
import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from recorder.kernel.accesses import AccessLosses
from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.profiles.apparmor_profile import abstract_profile, unsayable
from recorder.profiles.apparmor_rules import apparmor_rules
from recorder.profiles.apparmor_text import to_text
from recorder.profiles.apparmor_yaml import to_object
from recorder.profiles.path_tree import THRESHOLDS
from tests.guest.inside.accesses.workloads import WORKLOADS, Workload
from tests.phases.watch import BELOW, WatchedContainer, watched_root
from tests.truth import oci
from tests.truth.audit_avc import AvcReader
from tests.truth.installed import installed

LIBC = ctypes.CDLL(None, use_errno=True)
MNT_DETACH = 2
RUNTIMES = ("runc", "crun")
# What each does afterwards, and is not to: its shell is in the profile, so that these are what it is denied
OUTSIDE = ("/outside/program", "/outside/written", "/outside/read")
OUTSIDE_FILES = (("/outside/program", "#!/bin/true\n"), ("/outside/read", "x\n"))
AFTERWARDS = """\
status=$?
/outside/program && exit 97
echo x >/outside/written && exit 98
read line </outside/read && exit 99
exit $status
"""


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
            place.chmod(0o755 if text.startswith("#!") else 0o644)
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
            return it.run(timeout=600)


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
def parent(layout) -> Iterator[Path]:
    """The cgroup below which containers are."""
    place = watched_root(layout)
    place.mkdir(parents=True, exist_ok=True)
    yield place
    layout.remove(BELOW)


def _recorded(tmp_path, recorder, parent, runtime, workload):
    """What the workload used in a run without a profile; nothing of it was lost."""
    identity = parent.stat().st_ino
    recorder.backend.watch(identity, WatchRule(SlotMode.MODE_CONTAINER))
    try:
        done = _run(tmp_path, runtime, workload, f"({workload.text})")
        [target] = recorder.backend.targets()
        seen = recorder.watch.read(target, final=True).accesses
        losses = recorder.watch.losses(target)
    finally:
        recorder.backend.unwatch(identity)
        for target in recorder.backend.targets():
            recorder.release(target)
    assert done.status == 0, done
    assert losses == AccessLosses()
    return seen


def _denied(tmp_path, runtime, workload, profile):
    """How it ended under a profile, and what was denied to it, without what is outside of it."""
    text = f"({workload.text})\n{AFTERWARDS}"
    with AvcReader() as reader:
        done = _run(tmp_path, runtime, workload, text, profile)
        records = reader.until(OUTSIDE[-1].encode())
    denied = [each for each in records if each.fields.get("apparmor") == b"DENIED"]
    names = [each.fields.get("name", b"").decode() for each in denied]
    assert [each for each in names if each in OUTSIDE] == list(OUTSIDE[:-1]), (done, denied)
    return done.status, [each.text for each, name in zip(denied, names, strict=True) if name not in OUTSIDE]


@pytest.mark.timeout(3600)  # with all repetitions PostgreSQL takes a quarter of an hour in a guest
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_runs_under_the_profile_that_was_made_of_it(name, tmp_path, recorder, parent, scaled):
    """Ten times by either runtime, and as an object, without a denial; and what is outside of it is denied.

    At a small scale each form has one of the runtimes. What an object cannot say is known beforehand.
    """
    workload = WORKLOADS[name]
    runtimes = RUNTIMES[:: 1 if list(WORKLOADS).index(name) % 2 else -1]
    rules = apparmor_rules([_recorded(tmp_path, recorder, parent, runtimes[0], workload)], THRESHOLDS)
    profile = f"round-trip-{uuid.uuid4().hex[:8]}"
    text = to_text(rules, profile)
    again = replace(workload, files=(*workload.files, *OUTSIDE_FILES))
    # in a guest counts are a tenth
    both = scaled(20, least=1)
    with _loaded(text):
        for runtime in runtimes[::-1][:both] * scaled(100, least=1):
            assert _denied(tmp_path, runtime, again, profile) == (0, []), text

    lacks = {each.partition(":")[0] for each in unsayable(rules) if "no part of the abstract form" in each}
    assert lacks == set(workload.missing), (rules.unix, rules.signals, rules.ptraces)
    text = installed(to_object(abstract_profile(rules, profile)))
    # what a rule denies is not logged by itself
    with _loaded(re.sub(r"^ *deny ", "audit deny ", text, flags=re.MULTILINE)):
        for runtime in runtimes[:both] * (scaled(50, least=not workload.slow) if workload.works else 1):
            status, denied = _denied(tmp_path, runtime, again, profile)
            assert (status == 0, denied == []) == (workload.works, workload.works), f"{denied}\n{text}"
