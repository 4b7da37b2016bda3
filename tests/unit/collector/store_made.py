"""What tests of the store put into it, and the bounds that make it small."""

from recorder.collector.store.bounds import StoreBounds
from recorder.collector.store.sighting import Incoming
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Pod,
    Provenance,
    SightKey,
    Source,
)
from recorder.model.recording import Means, MergeStrategy, ProfileKind, Recording, RecordingName
from recorder.model.result import Edit, Placement
from recorder.model.selector import LabelSelector, Requirement

MIB = 1 << 20
BOOT = 1_700_000_000_000_000_000


def seen(number, *, node="n1", pod="p1", ended=True, sights=3, name="web", labels=0, **values):
    """An observation that says which one it is, in all of its parts."""
    given = {
        "calls": {CallKey(1, 2, 1): Numbers.of({number % 500, 501})},
        "first_sights": {SightKey(1, 2, 1, n): FirstSight(1000 + n + number, b"a") for n in range(sights)},
        "ledger": Ledger({"ring_full": 1, "children_full": number}),
        "provenance": Provenance("0.1", "6.18", "x86_64", "libbpf", "container", "runc", "1.1"),
        "first_seen_ns": 1000 + number,
        "last_seen_ns": 5000 + number,
        "wall_offset_ns": BOOT,
        "ended": ended,
    }
    identity = Identity(
        name,
        f"kubepods/{pod}/{number}",
        f"id-{number}",
        1,
        Pod("shop", f"web-{pod}", f"uid-{pod}") if pod else None,
        "nginx:1",
        "sha256:" + "b" * 64,
        labels={f"label-{index}": f"value-{number}" for index in range(labels)},
    )
    return Observation(Source(node, "boot", number, 7), identity, **{**given, **values})


def incoming(number, *recordings, not_recorded="", **values):
    """The same as an agent's report, of recording r1 unless others are given."""
    return Incoming(seen(number, **values), recordings or ("r1",), not_recorded)


def placed(pod="p1", node="n1"):
    return Placement("shop", f"web-{pod}", f"uid-{pod}", node, "web-", {"app": "web"})


def recording(uid="r1", **values):
    """With a value in each field that is none's default."""
    given = {
        "kind": ProfileKind.SECCOMP,
        "means": Means.LOGS,
        "merge": MergeStrategy.CONTAINERS,
        "selector": LabelSelector({"app": "web"}, (Requirement("tier", "In", ("a", "b")),)),
        "containers": ("side", "web"),
        "disable": True,
        "generation": 3,
        "beside": True,
    }
    return Recording(RecordingName("shop", f"name-{uid}", uid), **{**given, **values})


def edits():
    return (Edit("spec.syscalls", "kubectl-edit"),)


def bounds(**values):
    return StoreBounds(**{"bytes": 64 * MIB, **values})
