"""Which file system a store is on: one that other machines write too cannot keep it.

SQLite's write-ahead log needs shared memory and locks of one machine ("Write-Ahead Logging", 2.2), and
network file systems lie about both. FUSE is refused whole: its servers (sshfs, s3fs, glusterfs) do not
say what they keep.
"""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from pathlib import Path

from recorder.model.errors import StorageError

__all__ = ["NETWORK", "has_room", "refuse_network", "type_of"]

NETWORK = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x00C36400: "ceph",
    0x01021997: "9p",
    0x65735546: "fuse",
    0x5346414F: "afs",
    0x6B414653: "afs",
    0x73757245: "coda",
    0x564C: "ncp",
    0x0BD00BD0: "lustre",
    0x01161970: "gfs2",
    0x7461636F: "ocfs2",
    0x47504653: "gpfs",
    0x19830326: "beegfs",
    0xAAD7AAEA: "panfs",
    0xBEEFDEAD: "snfs",
    0x786F4256: "vboxsf",
    0xBACBACBC: "vmhgfs",
}
"""f_type of statfs(2) by the kernel's linux/magic.h and the file systems' own sources."""

_STATFS_SIZE = 256
"""struct statfs has 120 bytes on 64-bit Linux; f_type is its first word."""


def type_of(path: Path) -> int:
    """f_type of the file system that a path is on, as 32 bits. OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(_STATFS_SIZE)
    if libc.statfs(os.fsencode(path), buffer):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(path))
    return ctypes.c_ulong.from_buffer(buffer).value & 0xFFFFFFFF


def refuse_network(folder: Path) -> None:
    """StorageError if the folder is on a file system that is not one machine's alone."""
    try:
        name = NETWORK.get(type_of(folder))
    except OSError as error:
        raise StorageError(f"cannot ask which file system {folder} is on: {error.strerror}") from error
    if name:
        raise StorageError(
            f"{folder} is on a network file system ({name}), where a store loses what it was given: put the"
            " store on a local disk, in Kubernetes on a volume of block storage (ReadWriteOnce)"
        )


def has_room(folder: Path) -> bool:
    """Whether a file of 64 KiB can be written there; True if that fails for want of anything but room.

    statvfs(2) does not tell: it knows no quota, and a file system keeps blocks for root and for itself.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(65536))
            probe.flush()
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)
    return True
