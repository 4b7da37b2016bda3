"""The names format."""

from hypothesis import given

from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Observation, Outcome, Phase, Provenance, Record, Source
from recorder.profiles.names import to_names
from tests.unit.model.strategies import records
from tests.unit.profiles.records import observation, record


def test_native_names_alone_and_others_with_their_abi():
    """A call of the machine's own ABI is its name; one of another ABI says which."""
    text = to_names(record({Abi.X86_64: "write read", Abi.I386: "read getpid", Abi.X32: "#1"}))
    assert text == "i386:getpid\ni386:read\nread\nwrite\nx32:write\n"


def test_number_without_a_name_is_shown_raw():
    """What no table names is neither dropped nor given a name."""
    assert to_names(record({Abi.X86_64: "read #400"})) == "read\nx86_64:#400\n"


def test_unknown_abi_is_shown_raw():
    """A newer recorder's ABI has a number, and no name."""
    each = Observation(
        Source("n", "b", 1, 1),
        calls={CallKey(9, Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of([12])},
        provenance=Provenance(machine="x86_64"),
    )
    assert to_names(Record((each,))) == "abi9:#12\n"


def test_without_a_machine_every_call_says_its_abi():
    """No guess which ABI is the native one."""
    assert to_names(record({Abi.X86_64: "read"}, machine="")) == "x86_64:read\n"


def test_from_several_kinds_of_machines_every_call_says_its_abi():
    """A bare name would not say on which machine."""
    a = observation({Abi.X86_64: "read"}, node="a")
    b = observation({Abi.AARCH64: "read"}, node="b", machine="aarch64")
    assert to_names(Record((a, b))) == "aarch64:read\nx86_64:read\n"


def test_set_up_and_denied_calls_are_not_in_it():
    """The workload's set is what was done in the workload."""
    seen = record({Abi.X86_64: "read"}, setup={Abi.X86_64: "mount"}, denied={Abi.X86_64: "ptrace"})
    assert to_names(seen) == "read\n"


def test_nothing_seen_gives_empty_text():
    """No line, rather than an empty one."""
    assert to_names(Record()) == ""


@given(records)
def test_lines_are_sorted_and_none_is_lost(seen):
    """One line for each number of each ABI, in bytewise order."""
    lines = to_names(seen).splitlines()
    assert lines == sorted(set(lines))
    assert len(lines) == sum(len(numbers) for numbers in seen.calls(Phase.WORKLOAD).values())
