"""Whether programs can be preempted is told from a name in the kernel's type information."""

import os

import pytest

from recorder.kernel import preemption

MARK = b"\0trace_call_bpf_faultable\0"


@pytest.mark.parametrize("before", [0, 1, (1 << 18) - 10, (1 << 18) - 26, (1 << 18), 3 << 18])
def test_the_name_is_found_wherever_it_stands(before, tmp_path):
    """Also across two reads."""
    btf = tmp_path / "vmlinux"
    btf.write_bytes(bytes(before) + MARK + bytes(100))
    assert preemption.programs_are_preemptible(btf)


@pytest.mark.parametrize("content", [b"", bytes(1 << 19), b"\0trace_call_bpf\0", MARK[:-1] + b"_x\0"])
def test_a_kernel_without_the_name_runs_them_in_one_piece(content, tmp_path):
    btf = tmp_path / "vmlinux"
    btf.write_bytes(content)
    assert not preemption.programs_are_preemptible(btf)


def test_a_kernel_without_type_information(tmp_path):
    assert not preemption.programs_are_preemptible(tmp_path / "missing")


@pytest.mark.skipif(not preemption.KERNEL_BTF.exists(), reason="the kernel has no BTF")
def test_this_kernel():
    """Linux 7 has it; 6.18 and older have not."""
    major = int(os.uname().release.split(".")[0])
    assert preemption.programs_are_preemptible() == (major >= 7)
