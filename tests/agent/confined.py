"""Runs a command under a seccomp profile in the form of OCI's `linux.seccomp`, as a container runtime does.

    python tests/agent/confined.py PROFILE.json COMMAND [ARGUMENT...]

By libseccomp (seccomp_init(3) and others), and with the standard library alone. Without
no_new_privs: root has no need of it, and the agent sets it itself.
"""

import ctypes
import errno
import json
import os
import sys
from pathlib import Path
from typing import Any

ALLOW = 0x7FFF0000
ERRNO = 0x00050000
ACT_BADARCH, CTL_NNP = 2, 3  # enum scmp_filter_attr
ARCHITECTURES = {
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_ARM": 0x40000028,
}


def action(rule: dict[str, Any], name: str, number: str) -> int:
    """Of a rule, or of the profile's default."""
    kind = rule[name]
    if kind == "SCMP_ACT_ALLOW":
        return ALLOW
    if kind == "SCMP_ACT_ERRNO":
        return ERRNO | int(rule.get(number, errno.EPERM))
    raise SystemExit(f"confined.py: no action {kind}")


def confine(profile: dict[str, Any]) -> None:
    """Install the filter for this process and all that it starts."""
    library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(action(profile, "defaultAction", "defaultErrnoRet")))

    def must(status: int, what: str, *allowed: int) -> None:
        if status and -status not in allowed:
            raise SystemExit(f"confined.py: {what}: {os.strerror(-status)}")

    must(library.seccomp_attr_set(context, CTL_NNP, 0), "no_new_privs")
    must(library.seccomp_attr_set(context, ACT_BADARCH, ctypes.c_uint32(ERRNO | errno.ENOSYS)), "ABIs")
    for name in profile["architectures"]:
        # the machine's own is there already
        must(library.seccomp_arch_add(context, ctypes.c_uint32(ARCHITECTURES[name])), name, errno.EEXIST)
    default = action(profile, "defaultAction", "defaultErrnoRet")
    for rule in profile["syscalls"]:
        number = action(rule, "action", "errnoRet")
        for name in rule["names"]:
            call = library.seccomp_syscall_resolve_name(name.encode())
            # libseccomp does not know it, or it is the default
            if call == -1 or number == default:
                continue
            must(library.seccomp_rule_add(context, ctypes.c_uint32(number), call, 0), name)
    must(library.seccomp_load(context), "loading")


if __name__ == "__main__":
    confine(json.loads(Path(sys.argv[1]).read_text()))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  the command that is to be confined
