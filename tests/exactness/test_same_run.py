"""The comparison itself: it finds what is missing, what is too much, and what the ledger says."""

import base64
import json

from recorder.model.abi import Abi
from tests.exactness.same_run import Seen, differences
from tests.truth.calls import Call, Truth, calls


def _record(numbers: bytes, ledger: list[dict] | None = None) -> str:
    held = {"abi": "ABI_X86_64", "phase": "PHASE_WORKLOAD", "outcome": "OUTCOME_ALLOWED"}
    calls_ = [{**held, "numbers": base64.b64encode(numbers).decode()}]
    return json.dumps({"observations": [{"calls": calls_, "ledger": ledger or []}]})


def test_a_record_is_read_by_the_formats_description():
    seen = Seen.of(_record(b"\x01\x80", [{"cause": "ring_full", "count": "2"}]))
    assert seen == Seen(frozenset({Call(Abi.X86_64, 0), Call(Abi.X86_64, 15)}), frozenset(), {"ring_full": 2})


def test_a_missing_call_an_extra_one_and_a_moved_ledger_are_differences():
    read = calls(Abi.X86_64, "read")
    getpid = calls(Abi.X86_64, "getpid")
    assert differences(Seen(read, frozenset()), Truth(read)) == []
    assert differences(Seen(read, frozenset()), Truth(read | getpid)) == ["missing getpid"]
    assert differences(Seen(read | getpid, frozenset()), Truth(read)) == ["extra getpid"]
    assert differences(Seen(read | getpid, frozenset()), Truth(read, uncertain=getpid)) == []
    assert differences(Seen(frozenset(), read), Truth(read)) == ["missing read"]
    assert differences(Seen(calls(Abi.I386, "read"), frozenset()), Truth(read)) == [
        "missing read",
        "extra i386:read",
    ]
    assert differences(Seen(read, frozenset(), {"ring_full": 1}), Truth(read)) == ["the ledger has ring_full"]
    assert differences(Seen(read, frozenset()), Truth(read, unknown=frozenset({-1}))) == [
        "the ledger lacks unknown_number"
    ]
