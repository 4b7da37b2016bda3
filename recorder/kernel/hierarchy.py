"""Paths of cgroups by their ids, as the kernel's cgroup events name them.

An id is a kernfs node's; open_by_handle_at(2) finds it (fs/kernfs/mount.c, handles of
type FILEID_KERNFS, since 5.5).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from recorder.model.errors import CgroupNotFound, NoCgroup2, NotPermitted

_FILEID_KERNFS = 0xFE
_ROOT_ID = 1
MOUNTS = Path("/proc/self/mounts")


class _Handle(ctypes.Structure):
    """struct file_handle (include/linux/fs.h) with kernfs's eight bytes."""

    _fields_ = (("bytes", ctypes.c_uint32), ("type", ctypes.c_int32), ("id", ctypes.c_uint64))


def _mounts(mounts: Path) -> Iterator[Path]:
    for line in mounts.read_bytes().splitlines():
        fields = line.split(b" ")
        if len(fields) > 2 and fields[2] == b"cgroup2":
            # Octal escapes of mounts(5).
            yield Path(os.fsdecode(fields[1].decode("unicode_escape").encode("latin-1")))


def root_mount(mounts: Path = MOUNTS) -> Path:
    """A mount of the whole cgroup v2 hierarchy. Raises NoCgroup2.

    A mount made in a cgroup namespace begins further down: paths in it are not the kernel's.
    """
    for mount in _mounts(mounts):
        try:
            if mount.stat().st_ino == _ROOT_ID:
                return mount
        except OSError:
            continue
    raise NoCgroup2(
        "no mount of the whole cgroup v2 hierarchy is visible, and the bcc loader needs one: run it in the "
        "host's cgroup namespace, or mount -t cgroup2 none DIR"
    )


def path_of(cgroup_id: int, mounts: Path = MOUNTS) -> str:
    """The path below the hierarchy's root, beginning with a slash: as in /proc/PID/cgroup.

    Raises CgroupNotFound, NoCgroup2 or NotPermitted.
    """
    mount = root_mount(mounts)
    folder = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        handle = _Handle(8, _FILEID_KERNFS, cgroup_id)
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.open_by_handle_at(folder, ctypes.byref(handle), os.O_RDONLY | os.O_DIRECTORY)
        if fd < 0:
            code = ctypes.get_errno()
            if code == errno.EPERM:
                raise NotPermitted("finding a cgroup by its id needs CAP_DAC_READ_SEARCH; run it with sudo")
            raise CgroupNotFound(f"there is no cgroup with id {cgroup_id}: {os.strerror(code)}")
        try:
            found = os.readlink(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
        base = os.readlink(f"/proc/self/fd/{folder}")
    finally:
        os.close(folder)
    return "/" + os.path.relpath(found, base) if found != base else "/"
