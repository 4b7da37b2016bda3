"""What a loaded AppArmor profile allows, asked of the kernel by libapparmor's aa_query_label().

That is what its aa_query_file_path() calls, which in version 3 asks for a path without its last byte.
"""

import ctypes
import os

# sys/apparmor.h: AA_MAY_EXEC and so on, AA_CLASS_FILE, and the room for the query's first word
LETTERS = {"x": 1 << 0, "w": 1 << 1, "r": 1 << 2, "a": 1 << 3, "k": 1 << 15, "m": 1 << 16, "l": 1 << 18}
_FILE = b"\2"
_ROOM = b"label\0"
_QUERY = ctypes.CDLL("libapparmor.so.1", use_errno=True).aa_query_label
_QUERY.argtypes = (
    *(ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t),
    *(ctypes.POINTER(ctypes.c_int),) * 2,
)


def _asked(mask: int, profile: bytes, what: bytes) -> bool:
    query = _ROOM + profile + b"\0" + _FILE + what
    allowed, audited = ctypes.c_int(), ctypes.c_int()
    if _QUERY(mask, query, len(query), ctypes.byref(allowed), ctypes.byref(audited)):
        raise OSError(ctypes.get_errno(), f"{os.strerror(ctypes.get_errno())}: {query!r}")
    return bool(allowed.value)


def allows(profile: bytes, path: bytes) -> frozenset[str]:
    """The letters of what may be done with a path."""
    return frozenset(letter for letter, mask in LETTERS.items() if _asked(mask, profile, path))


def allows_link(profile: bytes, name: bytes, target: bytes) -> bool:
    """Whether `name` may be made as a hard link to `target`, as security/apparmor/file.c looks it up."""
    return "l" in allows(profile, name) and _asked(LETTERS["l"], profile, name + b"\0" + target)
