"""libbpf.so.1 by ctypes: the calls that are used, with their types.

libbpf's own C API (bpf/libbpf.h, bpf/bpf.h, bpf/btf.h; 1.1 and newer). Functions that
return a pointer give NULL and set errno; those that return an int give -errno.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections import deque
from typing import Any

from recorder.model.errors import MissingLibrary

SONAME = "libbpf.so.1"

_P = ctypes.c_void_p
_S = ctypes.c_char_p
_I = ctypes.c_int
_U32 = ctypes.c_uint32
_SIZE = ctypes.c_size_t

_SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_object__open_file": (_P, (_S, _P)),
    "bpf_object__load": (_I, (_P,)),
    "bpf_object__close": (None, (_P,)),
    "bpf_object__btf": (_P, (_P,)),
    "bpf_object__find_map_by_name": (_P, (_P, _S)),
    "bpf_object__find_program_by_name": (_P, (_P, _S)),
    "bpf_map__fd": (_I, (_P,)),
    "bpf_map__set_max_entries": (_I, (_P, _U32)),
    "bpf_map__reuse_fd": (_I, (_P, _I)),
    "bpf_map__initial_value": (_P, (_P, ctypes.POINTER(_SIZE))),
    "bpf_program__fd": (_I, (_P,)),
    "bpf_program__set_autoload": (_I, (_P, ctypes.c_bool)),
    "bpf_link_create": (_I, (_I, _I, _I, _P)),
    "bpf_iter_create": (_I, (_I,)),
    "bpf_raw_tracepoint_open": (_I, (_S, _I)),
    "bpf_map_update_elem": (_I, (_I, _P, _P, ctypes.c_uint64)),
    "bpf_map_lookup_elem": (_I, (_I, _P, _P)),
    "bpf_map_delete_elem": (_I, (_I, _P)),
    "bpf_map_get_next_key": (_I, (_I, _P, _P)),
    "bpf_map_lookup_and_delete_elem": (_I, (_I, _P, _P)),
    "bpf_map_lookup_batch": (_I, (_I, _P, _P, _P, _P, ctypes.POINTER(_U32), _P)),
    "bpf_obj_pin": (_I, (_I, _S)),
    "bpf_obj_get": (_I, (_S,)),
    "bpf_obj_get_info_by_fd": (_I, (_I, _P, ctypes.POINTER(_U32))),
    "bpf_prog_test_run_opts": (_I, (_I, _P)),
    "btf__load_vmlinux_btf": (_P, ()),
    "btf__free": (None, (_P,)),
    "btf__find_by_name_kind": (ctypes.c_int32, (_P, _S, _U32)),
    "btf__type_by_id": (_P, (_P, _U32)),
    "btf__name_by_offset": (_S, (_P, _U32)),
    "btf__resolve_size": (ctypes.c_int64, (_P, _U32)),
}

_PRINT = ctypes.CFUNCTYPE(_I, _I, _S, _P)


# __LIBBPF_ERRNO__START (bpf/libbpf_legacy.h): above any errno.
_FIRST_OWN_ERROR = 4000


class TestRunOptions(ctypes.Structure):
    """struct bpf_test_run_opts (bpf/bpf.h)."""

    _fields_ = (
        ("sz", _SIZE),
        ("data_in", _P),
        ("data_out", _P),
        ("data_size_in", _U32),
        ("data_size_out", _U32),
        ("ctx_in", _P),
        ("ctx_out", _P),
        ("ctx_size_in", _U32),
        ("ctx_size_out", _U32),
        ("retval", _U32),
        ("repeat", _I),
        ("duration", _U32),
        ("flags", _U32),
        ("cpu", _U32),
        ("batch_size", _U32),
    )


# libbpf has one print function for the process, so there is one log; the callback must never be freed.
_LINES: deque[str] = deque(maxlen=200)


def _keep(level: int, form: bytes, arguments: int) -> int:
    """Formats a log line as vprintf would; debug lines are too many to keep.

    The verifier's log comes as one long line of it, and the reason stands at its end.
    """
    if level > 1:
        return 0
    libc = ctypes.CDLL(None)
    text = ctypes.c_void_p()
    length: int = libc.vasprintf(ctypes.byref(text), _S(form), _P(arguments))
    if length >= 0 and text.value:
        _LINES.extend(ctypes.string_at(text.value, length).decode(errors="replace").splitlines())
        libc.free(text)
    return length


_KEEP = _PRINT(_keep)


class Libbpf:
    """The library, with its log lines kept for error messages.

    Raises MissingLibrary if libbpf.so.1 cannot be loaded.
    """

    def __init__(self) -> None:
        try:
            self._library = ctypes.CDLL(SONAME, use_errno=True)
        except OSError as error:
            raise MissingLibrary(
                f"cannot load {SONAME}: {error}; install libbpf 1.1 or newer (Debian: libbpf1)"
            ) from error
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(self._library, name)
            function.restype = result
            function.argtypes = arguments
        self._library.libbpf_set_print(_KEEP)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._library, name)

    @staticmethod
    def log(last: int = 20) -> str:
        """The last lines that libbpf said in this process, and forgets them."""
        lines = list(_LINES)[-last:]
        _LINES.clear()
        return "\n".join(lines)

    @staticmethod
    def last_error() -> int:
        """Errno of the last call that gave NULL."""
        return ctypes.get_errno() or errno.EIO


def reason(code: int) -> str:
    """The text of an errno or of one of libbpf's own codes (from 4000 on), whatever its sign."""
    if abs(code) < _FIRST_OWN_ERROR:
        return os.strerror(abs(code))
    text = ctypes.create_string_buffer(200)
    ctypes.CDLL(SONAME).libbpf_strerror(abs(code), text, _SIZE(len(text)))
    return text.value.decode(errors="replace")
