"""A FUSE file system with an empty root and nothing else, served by a thread: a real one to refuse.

The protocol is the kernel's include/uapi/linux/fuse.h.
"""

import contextlib
import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

GETATTR, STATFS, INIT, DESTROY = 3, 17, 26, 38
_IN = struct.Struct("<IIQQIIII")  # fuse_in_header
_OUT = struct.Struct("<IiQ")  # fuse_out_header
_ATTR = struct.Struct("<QII" + "QQQQQQ" + "III" + "IIIIIII")  # fuse_attr_out
_INIT = struct.Struct("<IIIIHHIIHHI7I")  # fuse_init_out


def _answer(operation: int) -> bytes | None:
    if operation == INIT:
        return _INIT.pack(7, 31, 0, 0, 1, 1, 4096, 1, 0, 0, *[0] * 8)
    if operation == GETATTR:
        return _ATTR.pack(1, 0, 0, 1, *[0] * 5, *[0] * 3, stat.S_IFDIR | 0o755, 2, *[0] * 5)
    if operation == STATFS:
        return bytes(80)
    return None


def _serve(device: int) -> None:
    try:
        while True:
            request = os.read(device, 1 << 17)
            _, operation, unique, *_ = _IN.unpack_from(request)
            if operation == DESTROY:
                return
            answer = _answer(operation)
            code = 0 if answer is not None else -errno.ENOSYS
            answer = answer or b""
            os.write(device, _OUT.pack(_OUT.size + len(answer), code, unique) + answer)
    except OSError:
        return  # unmounted: ENODEV
    finally:
        os.close(device)


@contextlib.contextmanager
def mounted(path: Path) -> Iterator[Path]:
    """At `path`, until it ends. Root."""
    libc = ctypes.CDLL(None, use_errno=True)
    path.mkdir()
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
    if libc.mount(b"test", os.fsencode(path), b"fuse", 0, options):
        code = ctypes.get_errno()
        os.close(device)
        raise OSError(code, os.strerror(code), str(path))
    thread = threading.Thread(target=_serve, args=(device,), daemon=True)
    thread.start()
    try:
        yield path
    finally:
        libc.umount2(os.fsencode(path), 2)  # MNT_DETACH
        thread.join(10)
