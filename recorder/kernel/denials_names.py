"""Names for the numbers in denials.

Sources: security/apparmor/include/{perms,net,sig_names,apparmor}.h and lib.c, net.c;
include/uapi/linux/capability.h; include/linux/socket.h; include/linux/net.h.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from recorder.model.kernel_names import CAPABILITIES, FAMILIES, SOCKET_TYPES

__all__ = ["CAPABILITIES", "FAMILIES", "SOCKET_TYPES", "bits", "class_bits", "numbered"]

CLASSES: Mapping[int, str] = {
    1: "none",
    2: "file",
    3: "capability",
    4: "net",
    5: "rlimits",
    6: "domain",
    7: "mount",
    9: "ptrace",
    10: "signal",
    11: "xmatch",
    14: "net",
    15: "net",
    16: "label",
    17: "posix_mqueue",
    18: "module",
    19: "display_lsm",
    20: "namespace",
    21: "io_uring",
    31: "x",
    32: "dbus",
}
"""AppArmor's AA_CLASS_*."""

FILE, CAPABILITY, RLIMITS, MOUNT, PTRACE, SIGNAL = 2, 3, 5, 7, 9, 10
NETWORKS = (4, 14, 15)  # by the version of the policy

FILE_BITS: Mapping[int, str] = {
    0x1: "exec",
    0x2: "write",
    0x4: "read",
    0x8: "append",
    0x10: "create",
    0x20: "delete",
    0x40: "open",
    0x80: "rename",
    0x100: "setattr",
    0x200: "getattr",
    0x400: "setcred",
    0x800: "getcred",
    0x1000: "chmod",
    0x2000: "chown",
    0x4000: "chgrp",
    0x8000: "lock",
    0x10000: "mmap",
    0x20000: "mprot",
    0x40000: "link",
    0x20000000: "change_profile",
    0x40000000: "onexec",
}
NET_BITS: Mapping[int, str] = {
    0x2: "send",
    0x4: "receive",
    0x10: "create",
    0x20: "shutdown",
    0x40: "connect",
    0x100: "setattr",
    0x200: "getattr",
    0x100000: "accept",
    0x200000: "bind",
    0x400000: "listen",
    0x1000000: "setopt",
    0x2000000: "getopt",
}
SIGNAL_BITS: Mapping[int, str] = {0x2: "send", 0x4: "receive"}
NAMESPACE_BITS: Mapping[int, str] = {0x8: "userns_create"}
IO_URING_BITS: Mapping[int, str] = {0x8: "override_creds", 0x10: "sqpoll"}
PTRACE_BITS: Mapping[int, str] = {0x2: "trace", 0x4: "read", 0x8: "tracedby", 0x10: "readby"}

_CLASS_BITS: Mapping[int, Mapping[int, str]] = {
    **dict.fromkeys(NETWORKS, NET_BITS),
    SIGNAL: SIGNAL_BITS,
    PTRACE: PTRACE_BITS,
    20: NAMESPACE_BITS,
    21: IO_URING_BITS,
}


def bits(mask: int, names: Mapping[int, str]) -> tuple[str, ...]:
    """The names of the bits that are set, from the lowest; one without a name is its value, as 0x...."""
    positions = (1 << position for position in range(mask.bit_length()))
    return tuple(names.get(bit, hex(bit)) for bit in positions if mask & bit)


def class_bits(object_class: int) -> Mapping[int, str]:
    """What the bits of a mask mean in one of AppArmor's classes: a file's, if nothing else is known."""
    return _CLASS_BITS.get(object_class, FILE_BITS)


def numbered(number: int, names: Sequence[str] | Mapping[int, str]) -> str:
    """The name of a number, or the number itself where there is none."""
    if not isinstance(names, Mapping):
        return names[number] if 0 <= number < len(names) else str(number)
    return names.get(number, str(number))
