"""Can this machine record? Each point looked at, with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from recorder.containers.cgroup import cgroup2_mount
from recorder.kernel.libbpf import SONAME, Libbpf
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.loaded import OLDEST_KERNEL, kernel_version
from recorder.kernel.preemption import KERNEL_BTF
from recorder.kernel.spec import Bounds, object_path, syscalls_spec
from recorder.model.errors import RecorderError


@dataclass(frozen=True, slots=True)
class Finding:
    """One point: what was found; needed: recording is impossible without it."""

    point: str
    good: bool
    needed: bool
    found: str
    remedy: str = ""


def _kernel() -> Finding:
    release = os.uname().release
    good = kernel_version(release) >= OLDEST_KERNEL
    return Finding("kernel", good, True, f"Linux {release}", "boot Linux 5.15 or newer")


def _machine() -> Finding:
    machine = os.uname().machine
    return Finding("machine", machine in ("x86_64", "aarch64"), True, machine, "record on x86_64 or aarch64")


def _privileges() -> Finding:
    root = os.geteuid() == 0
    return Finding("privileges", root, True, "root" if root else f"uid {os.geteuid()}", "run it with sudo")


def _btf() -> Finding:
    there = KERNEL_BTF.exists()
    found = str(KERNEL_BTF) if there else f"no {KERNEL_BTF}"
    return Finding("BTF", there, True, found, "boot a kernel built with CONFIG_DEBUG_INFO_BTF")


def _cgroup2() -> Finding:
    try:
        return Finding("cgroup v2", True, True, f"mounted at {cgroup2_mount()}")
    except RecorderError:
        return Finding(
            "cgroup v2",
            False,
            True,
            "not mounted",
            "mount -t cgroup2 none DIR, or boot with systemd.unified_cgroup_hierarchy=1",
        )


def _libbpf() -> Finding:
    try:
        Libbpf()
    except RecorderError as error:
        return Finding("libbpf", False, True, str(error), "apt-get install libbpf1")
    return Finding("libbpf", True, True, SONAME)


def _object() -> Finding:
    path = object_path("syscalls.bpf.o")
    return Finding(
        "BPF object", path.exists(), True, str(path) if path.exists() else f"no {path}", "make bpf"
    )


def _load() -> Finding:
    """The proof: what the kernel says when asked."""
    try:
        LibbpfBackend(syscalls_spec(Bounds(slots=1))).close()
    except RecorderError as error:
        return Finding(
            "loading", False, True, f"{error.code}: {str(error).splitlines()[0]}", "see the points above"
        )
    return Finding("loading", True, True, "the kernel takes the recorder's programs (loader libbpf)")


def _bpffs() -> Finding:
    mounts = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    places = [line.split()[1] for line in mounts if line.split()[2:3] == ["bpf"]]
    return Finding(
        "bpffs",
        bool(places),
        False,
        f"mounted at {places[0]}"
        if places
        else "not mounted; only a recording that outlives its process needs it",
        "mount -t bpf bpf /sys/fs/bpf",
    )


def _lsms() -> Finding:
    path = Path("/sys/kernel/security/lsm")
    try:
        active = path.read_text().strip()
    except OSError:
        return Finding(
            "security modules",
            False,
            False,
            f"{path} cannot be read; system calls are recorded without",
            "mount -t securityfs securityfs /sys/kernel/security",
        )
    return Finding("security modules", True, False, active)


POINTS: tuple[Callable[[], Finding], ...] = (
    _kernel,
    _machine,
    _privileges,
    _btf,
    _cgroup2,
    _libbpf,
    _object,
    _load,
    _bpffs,
    _lsms,
)


def examine() -> list[Finding]:
    """All points, in the order in which they depend on each other."""
    return [point() for point in POINTS]
