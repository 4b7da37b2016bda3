"""What a loaded AppArmor profile allows, asked of the kernel by libapparmor's aa_query_file_path()."""

import ctypes
import os

# sys/apparmor.h: AA_MAY_EXEC and so on
LETTERS = {"x": 1 << 0, "w": 1 << 1, "r": 1 << 2, "a": 1 << 3, "k": 1 << 15, "m": 1 << 16, "l": 1 << 18}
_LIBRARY = ctypes.CDLL("libapparmor.so.1", use_errno=True)
_TEXT = (ctypes.c_char_p, ctypes.c_size_t)
_ANSWER = (ctypes.POINTER(ctypes.c_int),) * 2
_FILE = _LIBRARY.aa_query_file_path_len
_FILE.argtypes = (ctypes.c_uint32, *_TEXT, *_TEXT, *_ANSWER)
_LINK = _LIBRARY.aa_query_link_path_len
_LINK.argtypes = (*_TEXT, *_TEXT, *_TEXT, *_ANSWER)


def _asked(function, *words) -> bool:
    allowed, audited = ctypes.c_int(), ctypes.c_int()
    if function(*words, ctypes.byref(allowed), ctypes.byref(audited)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(words))
    return bool(allowed.value)


def allows(profile: bytes, path: bytes) -> frozenset[str]:
    """The letters of what may be done with a path."""
    words = (profile, len(profile), path, len(path))
    return frozenset(letter for letter, mask in LETTERS.items() if _asked(_FILE, mask, *words))


def allows_link(profile: bytes, name: bytes, target: bytes) -> bool:
    """Whether `name` may be made as a hard link to `target`."""
    return _asked(_LINK, profile, len(profile), target, len(target), name, len(name))
