"""A filter from OCI JSON, made with libseccomp as runc and crun make it.

Both begin with the default action and the native architecture, add each listed
one, then add each rule for all architectures at once; they skip a rule that says
what the default says, and a name that libseccomp does not know.
"""

import ctypes
import json
import os

from recorder.model.abi import Abi

ALLOW, KILL = 0x7FFF0000, 0
AUDIT_ARCH = {
    Abi.X86_64: 0xC000003E,
    Abi.I386: 0x40000003,
    Abi.X32: 0xC000003E,
    Abi.AARCH64: 0xC00000B7,
    Abi.ARM: 0x40000028,
}
X32_BIT = 0x40000000

_TOKEN = AUDIT_ARCH | {Abi.X32: 0x4000003E}
_ERRNO, _LOG = 0x00050000, 0x7FFC0000
_UNKNOWN = -1  # __NR_SCMP_ERROR
_EEXIST = 17

_lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
_libc = ctypes.CDLL(None)
_libc.free.argtypes = [ctypes.c_void_p]
_context = ctypes.c_void_p
_lib.seccomp_init.argtypes, _lib.seccomp_init.restype = [ctypes.c_uint32], _context
_lib.seccomp_release.argtypes, _lib.seccomp_release.restype = [_context], None
_lib.seccomp_arch_native.restype = ctypes.c_uint32
_lib.seccomp_arch_add.argtypes = [_context, ctypes.c_uint32]
_lib.seccomp_arch_remove.argtypes = [_context, ctypes.c_uint32]
_lib.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
_lib.seccomp_syscall_resolve_num_arch.argtypes = [ctypes.c_uint32, ctypes.c_int]
_lib.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
_lib.seccomp_rule_add_array.argtypes = [_context, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint, _context]
_lib.seccomp_export_bpf.argtypes = [_context, ctypes.c_int]


def errno_action(errno):
    """Return what a filter says for an errno."""
    return _ERRNO | errno


def name_of(abi, number):
    """Return this libseccomp's own name of a number, or None: it may be older than the tables here."""
    bit = X32_BIT if abi is Abi.X32 else 0
    text = _lib.seccomp_syscall_resolve_num_arch(_TOKEN[abi], number | bit)
    if not text:
        return None
    try:
        return ctypes.string_at(text).decode()
    finally:
        _libc.free(text)


def compile_oci(text):
    """Return the filter (struct sock_filter, concatenated) of a linux.seccomp object.

    If the listed architectures lack this machine's, its own is taken out again: so
    the filter is that of a machine of another kind.
    """
    profile = json.loads(text)
    default = _action(profile["defaultAction"], profile.get("defaultErrnoRet"))
    context = _lib.seccomp_init(default)
    assert context
    try:
        listed = [abi for abi in Abi if abi.scmp_arch in profile["architectures"]]
        assert len(listed) == len(profile["architectures"])
        for abi in listed:
            assert _lib.seccomp_arch_add(context, _TOKEN[abi]) in (0, -_EEXIST)
        native = _lib.seccomp_arch_native()
        if native not in [_TOKEN[abi] for abi in listed]:
            assert _lib.seccomp_arch_remove(context, native) == 0
        for rule in profile["syscalls"]:
            action = _action(rule["action"], rule.get("errnoRet"))
            if action != default:
                _add(context, action, rule["names"])
        return _export(context)
    finally:
        _lib.seccomp_release(context)


def _add(context, action, names):
    for name in names:
        number = _lib.seccomp_syscall_resolve_name(name.encode())
        if number != _UNKNOWN:
            assert _lib.seccomp_rule_add_array(context, action, number, 0, None) == 0, name


def _action(name, errno):
    if name == "SCMP_ACT_ERRNO":
        return errno_action(1 if errno is None else errno)
    return {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_LOG": _LOG}[name]


def _export(context):
    memory = os.memfd_create("filter")
    try:
        assert _lib.seccomp_export_bpf(context, memory) == 0
        return os.pread(memory, os.fstat(memory).st_size, 0)
    finally:
        os.close(memory)
