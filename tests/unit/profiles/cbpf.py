"""An interpreter for seccomp filters: classic BPF over struct seccomp_data.

Only what linux/filter.h allows in a filter and libseccomp makes; anything else
is an error, never skipped.
"""

import struct

LD_ABS_W, RET_K = 0x20, 0x06
JA, JEQ, JGT, JGE, JSET = 0x05, 0x15, 0x25, 0x35, 0x45
AND_K = 0x54


def decode(program):
    """Return (code, jt, jf, k) of each struct sock_filter."""
    return list(struct.iter_unpack("=HBBI", program))


def run(instructions, arch, number, args=(0,) * 6):
    """Return what the filter says (SECCOMP_RET_*) to a call."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *args)
    at, accumulator = 0, 0
    while True:
        code, jump_true, jump_false, k = instructions[at]
        at += 1
        if code == LD_ABS_W:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == JEQ:
            at += jump_true if accumulator == k else jump_false
        elif code == JGE:
            at += jump_true if accumulator >= k else jump_false
        elif code == JGT:
            at += jump_true if accumulator > k else jump_false
        elif code == JSET:
            at += jump_true if accumulator & k else jump_false
        elif code == JA:
            at += k
        elif code == AND_K:
            accumulator &= k
        elif code == RET_K:
            return k
        else:
            raise AssertionError(f"instruction {at - 1} has the code {code:#x}")
