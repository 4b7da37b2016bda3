"""A disk image out of a folder, without mounting anything.

mke2fs copies owners, modes and extended attributes (and so SELinux labels).
"""

from pathlib import Path

from tests.guest.build.tool import run_tool

MIB = 1 << 20


def make_ext4(tree: Path, image: Path, label: str, spare: int) -> None:
    """Write `image` with the contents of `tree` and `spare` MiB free; holes stay holes."""
    used = int(run_tool("du", "-s", "--apparent-size", "-B1", tree).split()[0])
    entries = int(run_tool("du", "-s", "--inodes", tree).split()[0])
    with image.open("wb") as file:
        # a block for each file's end, an inode of 256 bytes for each
        file.truncate((used + entries * (4096 + 256)) * 21 // 20 + (spare + 16) * MIB)
    run_tool(
        *("mke2fs", "-q", "-F", "-t", "ext4", "-L", label, "-m", "0", "-N", str(entries + 64 * (spare + 16))),
        *(
            "-O",
            "^has_journal,^metadata_csum,^resize_inode",
            "-E",
            "lazy_itable_init=0,nodiscard",
            "-d",
            tree,
            image,
        ),
    )
