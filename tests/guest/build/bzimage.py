"""The vmlinux in a bzImage: qemu starts it without the seconds that emulated decompression takes.

The layout is that of Documentation/arch/x86/boot.rst, boot protocol 2.08 and later.
"""

import lzma
import struct
import zlib

from tests.guest.build.tool import run_tool
from tests.guest.errors import BuildError

SETUP_SECTORS = 0x1F1
PAYLOAD = 0x248  # offset from the protected-mode code, length
SECTOR = 512


def vmlinux_in(image: bytes) -> bytes:
    """The ELF file in a bzImage compressed with gzip, xz, zstd or lz4; BuildError otherwise."""
    if image[0x202:0x206] != b"HdrS":
        raise BuildError("not a bzImage: no setup header")
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    start = ((image[SETUP_SECTORS] or 4) + 1) * SECTOR + offset
    payload = image[start : start + length]
    body = payload[:-4]  # the kernel's build appends the uncompressed size
    if payload.startswith(b"\xfd7zXZ\0"):
        elf = lzma.LZMADecompressor().decompress(body)
    elif payload.startswith(b"\x1f\x8b"):
        elf = zlib.decompressobj(wbits=31).decompress(body)
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        elf = run_tool("zstd", "-dcq", stdin=body)
    elif payload.startswith(b"\x02\x21\x4c\x18"):
        elf = run_tool("lz4", "-dcq", stdin=body)
    else:
        raise BuildError(f"unknown compression of the kernel: it begins with {payload[:6].hex()}")
    if elf[:4] != b"\x7fELF":
        raise BuildError("the kernel's payload is no ELF file")
    return elf
