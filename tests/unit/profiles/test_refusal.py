"""What refused calls return."""

import pytest

from recorder.model.abi import Abi
from recorder.model.syscall import known_names, syscall_number
from recorder.profiles.refusal import all_names, is_newer, old_names

PROBED = ["clone3", "faccessat2", "openat2", "statx", "close_range", "fchmodat2", "rseq", "getrandom"]
OLD = ["read", "mount", "ptrace", "keyctl", "openat", "prlimit64", "process_vm_writev"]


@pytest.mark.parametrize("abi", Abi)
def test_calls_that_libraries_probe_for_are_newer(abi):
    """glibc runs on Linux 3.2, so it copes with their absence, which ENOSYS means."""
    assert all(is_newer(abi, syscall_number(abi, name)) for name in PROBED)


@pytest.mark.parametrize("abi", Abi)
def test_calls_that_were_always_there_are_old(abi):
    """For these EPERM tells the truth."""
    assert not any(is_newer(abi, syscall_number(abi, name)) for name in OLD)


def test_x32_own_numbers_follow_the_native_ones():
    """x32's numbers from 512 on are not in order of time."""
    assert is_newer(Abi.X32, syscall_number(Abi.X32, "execveat"))
    assert is_newer(Abi.X32, syscall_number(Abi.X32, "preadv2"))
    assert not is_newer(Abi.X32, syscall_number(Abi.X32, "execve"))
    assert not is_newer(Abi.X32, syscall_number(Abi.X32, "preadv"))


@pytest.mark.parametrize("abi", Abi)
def test_number_without_a_name_is_newer(abi):
    """A call that the table has not got yet."""
    assert is_newer(abi, abi.limit - 1)


def test_old_in_one_abi_is_old_in_all():
    """One rule answers for every ABI: socket is new on i386 alone."""
    assert "socket" not in old_names([Abi.I386])
    assert "socket" in old_names([Abi.I386, Abi.X86_64])
    assert "clock_gettime64" not in old_names([Abi.I386, Abi.X86_64])


def test_all_names_has_arms_private_calls():
    """They have names for a filter, though no place in a bitmap."""
    assert "set_tls" in all_names([Abi.ARM])
    assert "set_tls" not in all_names([Abi.X86_64])


def test_cut_is_where_linux_3_2_ended():
    """Numbers are given in order of time; each ABI's last old one is process_vm_writev."""
    last = {abi: max(number for number in known_names(abi) if not is_newer(abi, number)) for abi in Abi}
    assert (last[Abi.X86_64], last[Abi.I386], last[Abi.AARCH64], last[Abi.ARM]) == (311, 348, 271, 377)
