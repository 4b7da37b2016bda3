"""An initramfs: a cpio archive in the "newc" format.

Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from collections.abc import Iterable, Mapping


def _entry(name: str, mode: int, data: bytes, inode: int) -> bytes:
    # magic, inode, mode, uid, gid, links, mtime, size, device and special device (2 each),
    # length of the name, checksum
    numbers = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + name.encode() + b"\0"
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def archive(folders: Iterable[str], files: Mapping[str, bytes]) -> bytes:
    """The archive of empty folders and executable files, all root's. Archives may be concatenated."""
    parts = [_entry(name, 0o040755, b"", inode) for inode, name in enumerate(folders, 1)]
    parts += [
        _entry(name, 0o100755, data, inode)
        for inode, (name, data) in enumerate(files.items(), len(parts) + 1)
    ]
    parts.append(_entry("TRAILER!!!", 0, b"", 0))
    return b"".join(parts)
