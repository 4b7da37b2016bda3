"""The always set."""

import pytest

from recorder.model.abi import Abi
from recorder.model.syscall import ARM_PRIVATE, known_names
from recorder.profiles.always import always


@pytest.mark.parametrize("abi", Abi)
def test_every_abi_can_end_and_return_from_a_signal(abi):
    """Without these no program ends, and no handled signal returns."""
    assert {"exit", "exit_group", "rt_sigreturn", "restart_syscall"} <= always(abi)
    assert {"clock_gettime", "clock_getres", "gettimeofday"} <= always(abi)


@pytest.mark.parametrize("abi", Abi)
def test_only_names_of_the_abi(abi):
    """A name that the ABI has not got is no part of its set."""
    private = set(ARM_PRIVATE.values()) if abi is Abi.ARM else set()
    assert always(abi) <= set(known_names(abi).values()) | private


def test_what_only_some_abis_have():
    """Old signal frames and 64-bit times are 32-bit affairs; aarch64 answers less by itself."""
    wide = {"clock_gettime64", "clock_getres_time64", "sigreturn"}
    assert wide <= always(Abi.I386)
    assert wide <= always(Abi.ARM)
    for abi in (Abi.X86_64, Abi.X32, Abi.AARCH64):
        assert not wide & always(abi)
    assert {"time", "getcpu"} <= always(Abi.X86_64)
    assert not {"time", "getcpu"} & always(Abi.AARCH64)


def test_arm_programs_can_set_their_thread_pointer():
    """A recording cannot see arm's private calls, and every program makes set_tls."""
    assert {"set_tls", "cacheflush"} <= always(Abi.ARM)
