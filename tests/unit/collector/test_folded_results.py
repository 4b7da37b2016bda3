"""What the store folds together to save room gives the same objects, byte for byte."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from recorder.collector.store.folding import fold_key, folded
from recorder.model.record import Outcome, Phase
from tests.unit.collector.seen import SECOND, calls, data, sighting
from tests.unit.collector.test_drafts import CALLS, recordings
from tests.unit.collector.test_result_object import results


@st.composite
def finished_runs(draw):
    """Runs that have ended, several in one pod; nodes whose clocks were set meanwhile; two kernels."""
    found = []
    for number in range(draw(st.integers(1, 8))):
        letter = draw(st.sampled_from("ab"))
        seen = calls(" ".join(draw(st.sets(st.sampled_from(CALLS)))))
        seen |= calls(" ".join(draw(st.sets(st.sampled_from(CALLS)))), outcome=Outcome.DENIED)
        seen |= calls(" ".join(draw(st.sets(st.sampled_from(CALLS)))), phase=Phase.SETUP)
        run = sighting(
            seen,
            "app",
            (f"web-5d4-{letter * 5}", f"uid-{letter}"),
            cgroup=number + 1,
            node=f"n{letter}",
            last=draw(st.integers(2, 99)),
            ledger=draw(st.sampled_from([{}, {"slots_full": 1}, {"ring_full": 3, "attached_late": 1}])),
            image=draw(st.sampled_from(["one", "two"])),
            container_id=f"c{number}",
            restart_count=number,
            number=number + 1,
        )
        kernel = draw(st.sampled_from(["6.1.0", "6.12.0"]))
        observation = replace(
            run.observation,
            provenance=replace(run.observation.provenance, kernel_release=kernel),
            first_seen_ns=draw(st.integers(1, 2)) * SECOND,
            wall_offset_ns=run.observation.wall_offset_ns + draw(st.integers(-3, 3)) * SECOND // 2,
        )
        found.append(replace(run, observation=observation))
    return found


@given(recordings, finished_runs(), st.booleans())
def test_folded_sightings_make_the_same_objects(asked, seen, final):
    """Spec, labels and every annotation: the store may fold at any time."""
    groups = {}
    for each in seen:
        groups.setdefault(fold_key(each), []).append(each)
    kept = [
        replace(group[0], observation=folded(group)[0], sources=len(group), folded=True)
        for group in groups.values()
    ]
    once, after = results(asked, seen, final=final), results(asked, kept, final=final)
    assert {name: data(each) for name, each in after.items()} == {
        name: data(each) for name, each in once.items()
    }
