"""Can this machine record? Each point looked at, with what to do about it."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from recorder.containers.cgroup import cgroup2_mount
from recorder.kernel.denial_sources import open_denials
from recorder.kernel.denials_spec import DenialBounds
from recorder.kernel.headers import find_headers
from recorder.kernel.kprobes import PINNED_KPROBES
from recorder.kernel.libbpf import SONAME, Libbpf
from recorder.kernel.loaded import kernel_version
from recorder.kernel.loaders import OLDEST_KERNEL, load
from recorder.kernel.preemption import KERNEL_BTF
from recorder.kernel.spec import Bounds, object_path
from recorder.model.errors import RecorderError
from recorder.model.finding import Finding


def _kernel() -> Finding:
    release = os.uname().release
    good = kernel_version(release) >= OLDEST_KERNEL
    return Finding("kernel", good, True, f"Linux {release}", "boot Linux 5.8 or newer, better 5.15")


def _machine() -> Finding:
    machine = os.uname().machine
    return Finding("machine", machine in ("x86_64", "aarch64"), True, machine, "record on x86_64 or aarch64")


def _privileges() -> Finding:
    root = os.geteuid() == 0
    return Finding("privileges", root, True, "root" if root else f"uid {os.geteuid()}", "run it with sudo")


def _btf() -> Finding:
    there = KERNEL_BTF.exists()
    found = str(KERNEL_BTF) if there else f"no {KERNEL_BTF}"
    remedy = "boot a kernel built with CONFIG_DEBUG_INFO_BTF; without it, what loader bcc needs is needed"
    return Finding("BTF", there, False, found, remedy)


def _bcc() -> Finding:
    # Only found, not imported: that would bring LLVM into this process.
    there = find_spec("bcc") is not None
    found = "installed" if there else "not installed; only loader bcc needs it"
    return Finding("bcc", there, False, found, "apt-get install python3-bpfcc")


def _headers() -> Finding:
    system = os.uname()
    try:
        headers = find_headers(system.release, system.machine, os.environ)
    except RecorderError as error:
        return Finding(
            "headers",
            False,
            False,
            "no kernel headers; only loader bcc needs them",
            str(error),
        )
    return Finding("headers", True, False, str(headers))


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
        loaded = load("auto", Bounds(slots=1))
    except RecorderError as error:
        return Finding(
            "loader", False, True, f"{error.code}: {str(error).splitlines()[0]}", "see the points above"
        )
    loaded.backend.close()
    return Finding("loader", True, True, f"{loaded.backend.loader}, {loaded.why}")


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


def _denials() -> Finding:
    """The proof for AppArmor and SELinux: the first source that can be attached."""
    try:
        opened = open_denials("auto", DenialBounds(denials=1, per_cgroup=1, cgroups=1))
    except RecorderError as error:
        said = str(error).splitlines()[0]
        return Finding("denials", False, False, f"{error.code}; system calls are recorded without", said)
    opened.source.close()
    found = f"{opened.module} by {opened.source.name}, {opened.why}"
    if opened.source.name != "lsm" or kernel_version(os.uname().release) < PINNED_KPROBES:
        found += "; they end with their process: they cannot be pinned, which for kprobes needs Linux 5.15"
    return Finding("denials", True, False, found)


POINTS: tuple[Callable[[], Finding], ...] = (
    _kernel,
    _machine,
    _privileges,
    _btf,
    _cgroup2,
    _libbpf,
    _object,
    _bcc,
    _headers,
    _load,
    _bpffs,
    _lsms,
    _denials,
)


def examine() -> list[Finding]:
    """All points, in the order in which they depend on each other."""
    return [point() for point in POINTS]
