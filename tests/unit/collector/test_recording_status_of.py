"""The status of a recording: what is said, and that a person can act on it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.collector.results.denial_summary import DenialSort, DenialSummary, summarized
from recorder.collector.results.drafts import ResultKey
from recorder.collector.results.recording_status_of import (
    Circumstances,
    Reported,
    recording_status,
    refused_status,
)
from recorder.collector.results.result_summary import ResultSummary
from recorder.collector.results.unable_nodes import UnableNodes
from recorder.model.record import Observation, Record, Source
from recorder.model.recording import ProfileKind, RecordingName, RefusedRecording
from recorder.model.recording_status import DenialStatus, ResultStatus
from recorder.model.result import Edit
from recorder.profiles.status_object import status_object
from tests.denials_given import apparmor, counted
from tests.unit.collector.seen import recording

AGENTS = Circumstances(agents=3)


def reported(
    container="app",
    name="rec-app",
    *,
    state="recording",
    suffix="",
    partial=False,
    ledger=None,
    coverage=1,
    **values,
):
    key = ResultKey("uid-rec", ProfileKind.SECCOMP, container, suffix, partial)
    return Reported(key, name, state, ResultSummary(40, 2, coverage, ledger or {}), **values)


def conditions(status):
    return {each.type: (each.status, each.reason) for each in status.conditions}


def message(status, kind):
    (found,) = (each.message for each in status.conditions if each.type == kind)
    return found


def test_while_containers_run():
    """What is recorded, into what, and that nothing was lost."""
    status = recording_status(
        recording(generation=4), [reported(active=("web-1", "web-2"), coverage=2)], AGENTS
    )
    assert status.observed_generation == 4
    assert conditions(status) == {"Ready": (True, "Recording"), "Complete": (True, "NothingLost")}
    assert message(status, "Ready") == "2 workloads recorded now; 1 result, 0 final"
    assert status.active_workloads == ("web-1", "web-2")
    assert status.results == (
        ResultStatus(ProfileKind.SECCOMP, "rec-app", "app", "recording", 40, 2, 2, "complete"),
    )
    assert status.ledger == {}


def test_before_anything_was_seen():
    """Where to look if it stays so."""
    status = recording_status(recording(), [], AGENTS)
    assert conditions(status) == {"Ready": (True, "Waiting"), "Complete": (False, "NothingRecorded")}
    assert "start the workload, or look at podSelector and containers" in message(status, "Ready")


def test_after_the_last_container_has_ended():
    """The results are final."""
    status = recording_status(
        recording(), [reported(state="final"), reported("b", "rec-b", state="final")], AGENTS
    )
    assert conditions(status)["Ready"] == (True, "Recorded")
    assert message(status, "Ready") == "0 workloads recorded now; 2 results, 2 final"


def test_result_that_has_no_object_yet():
    """It is not listed, and it is said why there is none."""
    waiting = reported(name="", waiting="nothing but its set-up was seen so far", active=("web-1",))
    status = recording_status(recording(), [waiting], AGENTS)
    assert status.results == ()
    assert message(status, "Ready") == (
        "1 workload recorded now; 0 results, 0 final; nothing but its set-up was seen so far"
    )


def test_partials_are_not_listed_and_not_counted_twice():
    """What they have is in the merged one."""
    merged = reported(ledger={"slots_full": 1}, active=("web-1",))
    partial = reported(
        name="rec-app-1", suffix="1", partial=True, ledger={"slots_full": 1}, active=("web-1",)
    )
    status = recording_status(recording(), [partial, merged], AGENTS)
    assert [each.name for each in status.results] == ["rec-app"]
    assert status.ledger == {"slots_full": 1}
    assert status.active_workloads == ("web-1",)


def test_losses_say_their_cause_and_the_remedy():
    """Summed over the results; notes do not make it incomplete."""
    status = recording_status(
        recording(),
        [
            reported(ledger={"attached_late": 1, "ring_full": 5}),
            reported("b", "rec-b", ledger={"attached_late": 2, "from_the_future": 1}),
        ],
        AGENTS,
    )
    assert conditions(status) == {"Ready": (True, "Degraded"), "Complete": (False, "Lossy")}
    said = message(status, "Complete")
    assert said.startswith("something is missing: attached_late 3 (tasks ran before their recording began")
    assert "begin the recording first, then start the workload" in said
    assert "from_the_future 1 (a newer agent's" in said
    assert "ring_full" not in said
    assert status.ledger == {"attached_late": 3, "from_the_future": 1, "ring_full": 5}
    assert "2 results lossy: see the condition Complete" in message(status, "Ready")


@pytest.mark.parametrize(
    ("circumstances", "ready", "complete", "said"),
    [
        (Circumstances(agents=0), (False, "NoAgent"), True, "look whether the agent runs on the nodes"),
        (
            Circumstances(agents=1, store_full="2.0 GiB of 2 GiB are used"),
            (False, "StoreFull"),
            True,
            "2.0 GiB of 2 GiB are used; what the agents have seen waits with them",
        ),
        (
            Circumstances(agents=1, not_recorded=(("vm", "it runs in a virtual machine"),)),
            (True, "Degraded"),
            False,
            "not recordable: vm (it runs in a virtual machine)",
        ),
        (
            Circumstances(agents=1, refused={"the pod is on another node": 2}),
            (True, "Degraded"),
            True,
            "reports that were not believed: the pod is on another node (2)",
        ),
        (
            Circumstances(agents=1, missing=2),
            (True, "Degraded"),
            False,
            "2 containers not in any result, since the pod was gone before it could be confirmed: let pods"
            " exist a moment longer, or set results.accept_unconfirmed",
        ),
        (
            Circumstances(agents=1, trouble=(("rec-app", "all its names are taken"),)),
            (True, "Degraded"),
            True,
            "not published: rec-app (all its names are taken)",
        ),
    ],
)
def test_what_is_wrong_is_said_in_ready(circumstances, ready, complete, said):
    """False where nothing new can come, True where only some of it is wrong."""
    status = recording_status(recording(), [reported()], circumstances)
    assert conditions(status)["Ready"] == ready
    assert conditions(status)["Complete"][0] is complete
    assert said in message(status, "Ready")


def test_no_node_that_can_record_it_is_said_before_anything_is_seen():
    """Not Ready; with the reason of some of them."""
    unable = UnableNodes((("n1", "agent.accesses is off there"),), True, (), "apparmor")
    circumstances = Circumstances(agents=1, unable=unable)
    status = recording_status(recording(kind=ProfileKind.APPARMOR), [], circumstances)
    assert conditions(status)["Ready"] == (False, "NodesUnable")
    assert message(status, "Ready") == (
        "nodes whose agents cannot record what is asked for: n1 (agent.accesses is off there)"
    )


def test_what_an_object_cannot_say_is_a_condition():
    """With the result's name, and where the whole profile is to be had; partial results say nothing."""
    said = ("UNIX sockets: used by the workload", "signals: used by the workload")
    figures = ResultSummary(0, 0, 1, rules=3, unsaid=said)
    whole = Reported(ResultKey("uid-rec", ProfileKind.APPARMOR, "app"), "rec-app", "final", figures)
    part = Reported(
        ResultKey("uid-rec", ProfileKind.APPARMOR, "app", "aaaaa", partial=True),
        "rec-app-aaaaa",
        "final",
        figures,
    )
    status = recording_status(recording(kind=ProfileKind.APPARMOR), [whole, part], AGENTS)
    assert conditions(status)["PartlyExpressed"] == (True, "NotExpressible")
    assert message(status, "PartlyExpressed") == (
        "rec-app: UNIX sockets: used by the workload, signals: used by the workload. The whole profile is"
        " given by `recorder records NAME -f apparmor-text`, and is to be loaded on the nodes by other means"
    )
    (told,) = status.results
    assert (told.kind, told.rules, told.syscalls) == (ProfileKind.APPARMOR, 3, None)


def test_edited_results():
    """Who took what, that it stays, and the way back."""
    taken = (Edit("spec.syscalls", "kubectl-edit"),)
    label = (Edit("metadata.labels[spo.x-k8s.io/container-id]", "argocd"),)
    status = recording_status(
        recording(),
        [reported(edits=taken), reported("b", "rec-b", edits=label), reported("c", "rec-c")],
        AGENTS,
    )
    assert conditions(status)["Edited"] == (True, "FieldsTaken")
    assert message(status, "Edited") == (
        "rec-app: spec.syscalls by kubectl-edit; rec-b: metadata.labels[spo.x-k8s.io/container-id] by argocd."
        " These fields stay as they are, whatever is seen; remove the annotation recorder.x-k8s.io/edited"
        " from the object to give them back"
    )
    assert "Edited" not in conditions(recording_status(recording(), [reported()], AGENTS))


def test_more_results_than_allowed():
    """How many are left out, and three ways on."""
    status = recording_status(recording(), [reported()], Circumstances(agents=1, withheld=7, limit=100))
    assert conditions(status)["LimitReached"] == (True, "TooManyResults")
    assert message(status, "LimitReached") == (
        "7 results not published, since a recording has at most 100; use mergeStrategy Containers, select"
        " fewer pods, or raise results.of_recording"
    )


def test_refused_recording():
    """Its reason; with the results of the time before."""
    refused = RefusedRecording(RecordingName("ns", "rec", "u"), "NotOptedIn", "add the label", 3)
    status = refused_status(refused)
    assert (conditions(status), status.observed_generation) == ({"Ready": (False, "NotOptedIn")}, 3)
    assert message(status, "Ready") == "add the label"
    later = refused_status(refused, [reported(state="final")])
    assert conditions(later) == {"Ready": (False, "NotOptedIn"), "Complete": (True, "NothingLost")}
    assert [each.name for each in later.results] == ["rec-app"]


def test_order_of_the_results_does_not_matter():
    """So that a status is written only if it says something else."""
    some = [reported(str(n), f"rec-{n}", active=(f"pod-{n}",)) for n in range(5)]
    assert recording_status(recording(), some, AGENTS) == recording_status(recording(), some[::-1], AGENTS)


texts = st.one_of(st.text(max_size=20), st.text(max_size=5).map(lambda each: each * 1000))


@given(st.lists(st.tuples(texts, texts), max_size=12), texts, st.integers(0, 300))
def test_sizes_are_bounded_whatever_is_told(told, text, count):
    """Agents and platforms choose these texts; the API has limits."""
    status = recording_status(
        recording(),
        [
            reported(
                text,
                f"rec-{n}",
                active=tuple(f"pod-{n}-{m}" for m in range(30)),
                edits=(Edit(text, text),),
                ledger={f"cause_{m}": 1 for m in range(count)},
            )
            for n in range(8)
        ],
        Circumstances(
            agents=1, not_recorded=tuple(told), trouble=tuple(told), refused=dict.fromkeys(["x", text], 1)
        ),
    )
    assert all(len(each.message) <= 2048 for each in status.conditions)
    assert all(each.message.encode() for each in status.conditions)
    assert len(status.active_workloads) == 100
    assert len(status.ledger) <= 32
    assert all(len(each.verdict) <= 256 and len(each.container) <= 256 for each in status.results)


def with_denials(container, *counts, suffix="", omitted=0, action="open(write)"):
    """A result with so many sorts of denials, the first of which came so often, and so on."""
    sorts = tuple(
        DenialSort("apparmor", "denied", "file", f"{action}{number}", count, 1)
        for number, count in enumerate(counts)
    )
    key = ResultKey("uid-rec", ProfileKind.SECCOMP, container, suffix)
    return Reported(key, container, "final", ResultSummary(4, 0, 1, denials=DenialSummary(sorts, omitted)))


def test_denials_of_a_containers_results_are_put_together():
    """Of two pods: counts and records are added up; what their results left out is counted."""
    status = recording_status(
        recording(), [with_denials("app", 3, 9), with_denials("app", 4, suffix="b", omitted=2)], AGENTS
    )
    assert status.denials == (
        DenialStatus("app", "apparmor", "denied", "open(write)1", 9, 1),
        DenialStatus("app", "apparmor", "denied", "open(write)0", 7, 2),
    )
    assert status.denials_omitted == 2


def test_denials_are_bounded_and_each_container_has_its_part():
    """20 of one, 100 in all; of more than a hundred containers one each, of the first ones."""
    one = recording_status(recording(), [with_denials("app", *range(1, 51))], AGENTS)
    assert (len(one.denials), one.denials_omitted) == (20, 30)
    assert one.denials[0].count == 50
    ten = recording_status(recording(), [with_denials(f"c{n}", *range(50)) for n in range(10)], AGENTS)
    assert [each.container for each in ten.denials] == [f"c{n}" for n in range(10) for _ in range(10)]
    assert ten.denials_omitted == 400
    many = recording_status(recording(), [with_denials(f"c{n:03}", 1, 2) for n in range(150)], AGENTS)
    assert [each.container for each in many.denials] == [f"c{n:03}" for n in range(100)]
    assert many.denials_omitted == 200


def test_a_status_with_the_longest_denials_is_small():
    """Of what an object may hold, 1.5 MiB in etcd, it takes a fraction."""
    name, word = "c" * 300, "\\x1b" * 2000
    found = {apparmor(operation=f"{number}{word}", mask=word): counted(1 << 40) for number in range(60)}
    seen = Observation(Source("n", "boot", 1, 1), denials=found)
    results = [
        Reported(
            ResultKey("uid-rec", ProfileKind.SECCOMP, f"{number}{name}"),
            name,
            "final",
            ResultSummary(4, 0, 1, denials=summarized(Record((seen,)))),
        )
        for number in range(5)
    ]
    status = recording_status(recording(), results, AGENTS)
    assert len(status.denials) == 100
    assert len(json.dumps(status_object(status, {}, "now")["denials"])) < 128 * 1024


def test_denials_that_were_told_do_not_stay_when_there_are_none():
    """A status is put over the one before; where there never was one, nothing is said."""
    status = recording_status(recording(), [reported()], AGENTS)
    assert "denials" not in status_object(status, {}, "now")
    after = status_object(status, {"denials": [{"container": "app"}], "denialsOmitted": 3}, "now")
    assert (after["denials"], after["denialsOmitted"]) == ([], 0)
