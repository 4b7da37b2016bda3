"""Running a control program: one of an object's own, never attached, that changes its maps."""

from __future__ import annotations

import ctypes

from recorder.kernel.libbpf import Libbpf, TestRunOptions, reason
from recorder.model.errors import BpfLoadError


def run_control(libbpf: Libbpf, program: int, op: int, *arguments: int) -> int:
    """What the program says, which may be a negative errno. Raises BpfLoadError.

    All that changes or reads an element of a map goes through it or through shared memory while
    programs are attached, nothing through bpf(2): see SharedValue.
    """
    context = (ctypes.c_uint64 * 8)(op, *arguments)
    options = TestRunOptions(
        sz=ctypes.sizeof(TestRunOptions),
        ctx_in=ctypes.addressof(context),
        ctx_size_in=ctypes.sizeof(context),
    )
    code = libbpf.bpf_prog_test_run_opts(program, ctypes.addressof(options))
    if code < 0:
        raise BpfLoadError(f"cannot run the control program: {reason(code)}")
    return ctypes.c_int32(options.retval).value
