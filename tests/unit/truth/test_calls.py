"""Calls, their names, and the comparison of a truth with a record."""

import pytest

from recorder.model.abi import Abi
from tests.truth import programs
from tests.truth.calls import Call, Truth, call_name, call_number, calls, safe_calls


def test_names_are_libseccomps_by_abi():
    assert call_name(Abi.X86_64, 39) == "getpid"
    assert call_name(Abi.I386, 20) == "getpid"
    assert call_number(Abi.X32, "getpid") == 39
    assert call_name(Abi.X86_64, 511) is None
    assert call_number(Abi.X86_64, "no_such_call") is None


def test_negative_numbers_have_no_name_though_libseccomp_has_pseudo_numbers():
    assert all(call_name(Abi.X86_64, number) is None for number in (-1, -101, -10001))


def test_a_call_reads_as_the_names_format_writes_it():
    assert [str(Call(Abi.X86_64, 39)), str(Call(Abi.I386, 20))] == ["getpid", "i386:getpid"]


def test_an_unknown_name_is_an_error():
    with pytest.raises(KeyError, match="no_such_call"):
        calls(Abi.X86_64, "no_such_call")


def test_the_comparison_names_what_is_missing_and_what_is_too_much():
    truth = Truth(calls(Abi.X86_64, "getpid", "getuid"), uncertain=calls(Abi.X86_64, "futex"))
    assert truth.differences({Abi.X86_64: [39, 102]}) == []
    assert truth.differences({Abi.X86_64: [39, 102, 202]}) == []
    assert truth.differences({Abi.X86_64: [39], Abi.I386: [20]}) == ["missing getuid", "extra i386:getpid"]


@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.I386])
def test_there_are_enough_safe_calls_and_none_that_ends_or_blocks(abi):
    names = {call_name(abi, call.number) for call in safe_calls(abi)}
    assert len(names) > 200
    assert not names & {"exit", "exit_group", "fork", "vfork", "clone", "pause", "kill", "reboot", "sync"}


def test_every_program_that_has_expectations_has_a_source_and_ends_itself(built_programs):
    assert set(programs.EXPECTED) <= set(built_programs)
    for made in programs.EXPECTED.values():
        assert {str(call) for call in made} & {"exit_group", "i386:exit_group"}
