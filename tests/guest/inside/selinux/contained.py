"""Containers with a SELinux type, over this machine's own root file system and its labels."""

import contextlib
import ctypes
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.guest.inside.accesses.workloads import Workload
from tests.guest.inside.selinux.policy import MARKER
from tests.truth import oci

_LIBC = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2


def _mount(source: str, place: Path, kind: str, data: str = "") -> None:
    place.mkdir(exist_ok=True)
    words = (source.encode(), os.fsencode(place), kind.encode(), 0, data.encode())
    assert _LIBC.mount(*words) == 0, os.strerror(ctypes.get_errno())


@contextlib.contextmanager
def _rootfs(folder: Path, workload: Workload, outside: str) -> Iterator[Path]:
    """outside: a file of a type that nobody may use."""
    layers = folder / "layers"
    _mount("none", layers, "tmpfs")
    try:
        for name in ("upper", "work"):
            (layers / name).mkdir()
        for inside, text in (*workload.files, (outside, "x\n")):
            place = layers / "upper" / inside.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        label = f"system_u:object_r:{MARKER}:s0".encode()
        os.setxattr(layers / "upper" / outside.lstrip("/"), "security.selinux", label)
        layout = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
        _mount("overlay", folder / "root", "overlay", layout)
        try:
            yield folder / "root"
        finally:
            _LIBC.umount2(os.fsencode(folder / "root"), _MNT_DETACH)
    finally:
        _LIBC.umount2(os.fsencode(layers), _MNT_DETACH)


def run(
    folder: Path,
    runtime: str,
    workload: Workload,
    kind: str,
    *,
    outside: str = "/outside",
    text: str = "",
    begun: Callable[[Path], None] = lambda cgroup: None,
) -> oci.Ended:
    """The workload, or a text beside it, in a container whose processes are of that type.

    begun: called with the container's cgroup, before anything is in it.
    """
    here = folder / uuid.uuid4().hex
    here.mkdir()
    with _rootfs(here, workload, outside) as root:
        container = oci.Container.prepare(
            runtime,
            here,
            root,
            ("/bin/sh", "-c", text or f"({workload.text})"),
            host_network=True,
            capabilities=(*oci.CAPABILITIES, *workload.capabilities),
        )
        container.config["process"]["selinuxLabel"] = f"system_u:system_r:{kind}:s0"
        with container as it:
            begun(it.make_cgroup())
            return it.run(timeout=240)
