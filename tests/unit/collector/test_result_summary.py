"""A result's figures, kept when its record is not."""

import json

from recorder.collector.results.drafts import drafts
from recorder.collector.results.result_object import drawn_result
from recorder.collector.results.result_summary import MAX_UNSAID, ResultSummary
from recorder.model.abi import Abi
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Outcome, Phase
from tests.unit.collector.seen import CONTAINERS, calls, recording, replicas, sighting


def summary(asked, draft):
    _, found = drawn_result(asked, draft, "r-app", final=True, version="0.1.0")
    return found


def test_figures_of_three_merged_replicas():
    """Six names in all; three records; nothing lost."""
    found = summary(CONTAINERS, drafts(CONTAINERS, replicas())[0])
    assert found == ResultSummary(syscalls=6, denied=0, coverage=3)
    assert found.verdict == "complete"


def test_denied_calls_and_losses():
    """Denials by ABI and number; a number without a name is a loss of the profile."""
    seen = {
        **calls("read"),
        **calls("read socket", Abi.I386),
        **calls("mkdir chmod", outcome=Outcome.DENIED),
        **calls("mmap2", Abi.I386, outcome=Outcome.DENIED),
        CallKey(int(Abi.AARCH64), Phase.WORKLOAD, Outcome.ALLOWED): Numbers.of([500]),
    }
    (draft,) = drafts(recording(), [sighting(seen, ledger={"attached_late": 1, "ring_full": 4})])
    found = summary(recording(), draft)
    assert (found.syscalls, found.denied, found.coverage) == (2, 3, 1)
    assert dict(found.ledger) == {"attached_late": 1, "ring_full": 4, "unnamed_number": 1}
    assert found.verdict == "lossy: attached_late 1, unnamed_number 1"


def test_kept_as_json_and_read_again():
    """As plain JSON in the store."""
    found = ResultSummary(6, 1, 3, {"slots_full": 2})
    kept = json.dumps(found.to_json())
    assert json.loads(kept) == {"syscalls": 6, "denied": 1, "coverage": 3, "ledger": {"slots_full": 2}}
    assert ResultSummary.from_json(json.loads(kept)) == found
    assert ResultSummary.from_json(json.loads(kept)).verdict == "lossy: slots_full 2"


def test_what_an_object_cannot_say_is_kept_in_bounds():
    """So many sentences, of so many characters."""
    found = ResultSummary(0, 0, 1, rules=7, unsaid=tuple("x" * 1000 for _ in range(100)))
    assert [len(each) for each in found.unsaid] == [256] * MAX_UNSAID
    kept = json.loads(json.dumps(found.to_json()))
    assert ResultSummary.from_json(kept) == found
    assert kept["rules"] == 7
