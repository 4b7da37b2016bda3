"""A program with a seccomp filter of its own: getppid gives EPERM, getpgrp a signal; neither is made."""

import ctypes
import os
import signal
import struct

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERRNO, TRAP = 0x7FFF0000, 0x00050000, 0x00030000
GETPPID, GETPGRP = 110, 111  # x86_64

libc = ctypes.CDLL(None, use_errno=True)
instructions = [
    (LOAD, 0, 0, 0),
    (JUMP_IF_EQUAL, 0, 1, GETPPID),
    (RETURN, 0, 0, ERRNO | 1),
    (JUMP_IF_EQUAL, 0, 1, GETPGRP),
    (RETURN, 0, 0, TRAP),
    (RETURN, 0, 0, ALLOW),
]
code = b"".join(struct.pack("=HBBI", *each) for each in instructions)
buffer = ctypes.create_string_buffer(code)
program = struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(buffer))
trapped = []
signal.signal(signal.SIGSYS, lambda *_: trapped.append(1))
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(program), 0, 0) == 0
print(libc.syscall(GETPPID), ctypes.get_errno())
libc.syscall(GETPGRP)
print(len(trapped), os.getpid() > 0)
