"""What an agent may report, checked before anything is made of it or stored.

An agent is trusted for its own node, and for nothing else: what it sends is bounded in
every part, and belongs to recordings that there are, of the namespace that its pod is in.
Whether the pod is there, and on that node, is asked of the platform later
(docs/security.md). What is refused is acknowledged with the reason, so that the agent does
not send it for ever; the bounds are those that agents keep by themselves
(`recorder.containers.text`), or above.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from recorder.collector.store import first_sights
from recorder.collector.store.packed_accesses import packed_messages
from recorder.collector.store.sighting import Incoming
from recorder.model.accesses import MAX_ACCESSES
from recorder.model.denial import MAX_DENIAL_BYTES, MAX_DENIALS
from recorder.model.errors import InvalidRecord
from recorder.model.numbers import MAX_BYTES
from recorder.model.record import MAX_COMM, Observation
from recorder.model.wire import from_observation
from recorder.record.v1 import record_pb2
from recorder.rpc.names import is_label, is_subdomain, shown
from recorder.rpc.v1 import collector_pb2 as pb

__all__ = ["Reason", "Refusal", "checked"]

MAX_TEXT = 1024
MAX_LONG_TEXT = 4096
"""Of a cgroup's path (PATH_MAX), and of why a container is not recorded, which may quote others."""
MAX_LABELS = 64
MAX_LABEL_KEY = 317
MAX_LABEL_VALUE = 63
MAX_SETS = 64
MAX_SIGHTS = 8192
MAX_CAUSES = 128
MAX_DENIAL = 4096
"""Bytes of one; those that agents make have at most 2,600. The store joins up to MAX_DENIALS of them."""
MAX_WORDS = 300
MAX_NUMBER = 8 * MAX_BYTES - 1
MAX_INTEGER = (1 << 63) - 1
"""What SQL's integers hold; ids of cgroups are far below it."""
MAX_TIME = 1 << 60
"""36 years of CLOCK_BOOTTIME in ns; with an offset of `MAX_OFFSET` the sum is a date, and fits 64 bits."""
MAX_OFFSET = 1 << 62
MAX_COUNT = 1 << 40
"""Of a cause: sums over all that a store holds fit 64 bits."""

_UID = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9._:-]{1,256}", re.ASCII)


class Reason(StrEnum):
    """Why a report, or one of its recordings, is refused; the label of a metric."""

    TOO_LARGE = "too_large"  # the message, or a text, a list or a number in it
    INVALID = "invalid"  # it cannot be read: a bitmap of a wrong size, a comm of 16 bytes
    FOREIGN_NODE = "foreign_node"
    UNATTRIBUTED = "unattributed"  # nobody says which container it is, or for which recording
    UNKNOWN_RECORDING = "unknown_recording"
    WRONG_NAMESPACE = "wrong_namespace"
    NOT_RECORDED_NOW = "not_recorded_now"  # the recording is refused now, and the container is new


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing of a report is kept; `message` goes to the agent."""

    reason: Reason
    message: str


def checked(
    report: pb.Report, node: str, namespaces: Mapping[str, str]
) -> tuple[Incoming | Refusal, tuple[Refusal, ...]]:
    """What to store of the report of that node's agent, or why nothing; and what else of it is refused.

    namespaces: that of each recording that takes reports, by id; empty outside of Kubernetes.
    """
    problem = next(_problems(report, node), None)
    if problem:
        return problem, ()
    sights = _sights(report.observation)
    if isinstance(sights, Refusal):
        return sights, ()
    try:
        observation = from_observation(report.observation, first_sights=False, accesses=False)
        accesses = packed_messages(report.observation.accesses)
    except InvalidRecord as error:
        # it may quote what the agent sent, whole
        return Refusal(Reason.INVALID, ascii(str(error)[:MAX_WORDS])[1:-1]), ()
    pod = observation.identity.pod
    namespace = pod.namespace if pod else ""
    refused = tuple(_unfit(report, namespace, namespaces))
    known = sorted(
        {each for each in report.recordings if namespaces.get(each) == namespace and each in namespaces}
    )
    if not known:
        return (refused[0] if refused else _NOBODYS), refused[1:]
    if report.not_recorded:
        observation = _apart(observation)
    return Incoming(observation, tuple(known), report.not_recorded, sights, accesses), refused


_NOBODYS = Refusal(
    Reason.UNATTRIBUTED, "it names no recording: nobody knows for which of the plan's recordings it is"
)


def _unfit(report: pb.Report, namespace: str, namespaces: Mapping[str, str]) -> Iterator[Refusal]:
    for each in report.recordings:
        if each not in namespaces:
            yield Refusal(
                Reason.UNKNOWN_RECORDING,
                f"there is no recording {shown(each)}, or there is none any more",
            )
        elif namespaces[each] != namespace:
            yield Refusal(
                Reason.WRONG_NAMESPACE,
                f"the recording {shown(each)} is of another namespace than the container, {shown(namespace)}",
            )


def _apart(observation: Observation) -> Observation:
    """With a source of its own: agents have none for what they cannot record (cgroup 0, epoch 0)."""
    digest = hashlib.sha256(observation.identity.container_id.encode()).digest()
    number = int.from_bytes(digest[:8], "big") >> 1
    return replace(observation, source=replace(observation.source, cgroup_id=number, epoch=0))


def _problems(report: pb.Report, node: str) -> Iterator[Refusal]:
    """In an order in which what is cheap comes first, and nothing is looked at that has no bound yet."""
    observation = report.observation
    yield from _large(report)
    source = observation.source
    if source.node != node:
        yield Refusal(
            Reason.FOREIGN_NODE,
            f"it is of the node {shown(source.node)}, and this agent's certificate is for {shown(node)}",
        )
    if not _WORD.fullmatch(source.boot_id):
        yield Refusal(Reason.INVALID, f"source.boot_id is {shown(source.boot_id)}; expected is a boot's id")
    yield from _strange(observation.identity)
    seen = observation.calls or observation.first_sights or observation.denials or observation.accesses
    if report.not_recorded and seen:
        yield Refusal(Reason.INVALID, "it says why a container is not recorded, and has calls of it")


def _large(report: pb.Report) -> Iterator[Refusal]:
    observation = report.observation
    identity = observation.identity
    counts = (
        ("identity.labels", len(identity.labels), MAX_LABELS),
        ("calls", len(observation.calls), MAX_SETS),
        ("first_sights", len(observation.first_sights), MAX_SIGHTS),
        ("ledger", len(observation.ledger), MAX_CAUSES),
        ("denials", len(observation.denials), MAX_DENIALS),
        ("accesses", len(observation.accesses), MAX_ACCESSES),
    )
    for name, count, limit in counts:
        if count > limit:
            yield Refusal(Reason.TOO_LARGE, f"{name} has {count} entries; at most {limit} are taken")
    for name, text, limit in _texts(report):
        if len(text) > limit or len(text.encode()) > limit:
            yield Refusal(Reason.TOO_LARGE, f"{name} has {len(text)} characters; at most {limit} are taken")
    for name, number, most in _numbers(observation):
        if number > most:
            yield Refusal(Reason.TOO_LARGE, f"{name} is {number}; at most {most} is taken")
    sizes = [each.ByteSize() for each in observation.denials]
    for name, size, most in (
        ("denials: one", max(sizes, default=0), MAX_DENIAL),
        ("denials", sum(sizes), 2 * MAX_DENIAL_BYTES),
    ):
        if size > most:
            yield Refusal(Reason.TOO_LARGE, f"{name} has {size} bytes; at most {most} are taken")


def _texts(report: pb.Report) -> Iterator[tuple[str, str, int]]:
    """All texts that only have a bound, with it."""
    identity, provenance = report.observation.identity, report.observation.provenance
    yield "not_recorded", report.not_recorded, MAX_LONG_TEXT
    yield "identity.cgroup_path", identity.cgroup_path, MAX_LONG_TEXT
    for name in ("name", "container_id", "image", "image_digest"):
        yield f"identity.{name}", getattr(identity, name), MAX_TEXT
    for name in ("namespace", "name", "uid"):
        yield f"identity.pod.{name}", getattr(identity.pod, name), MAX_TEXT
    for field in record_pb2.Provenance.DESCRIPTOR.fields:
        yield f"provenance.{field.name}", getattr(provenance, field.name), MAX_TEXT
    for key, value in identity.labels.items():
        yield "identity.labels: a key", key, MAX_LABEL_KEY
        yield "identity.labels: a value", value, MAX_LABEL_VALUE


def _numbers(observation: record_pb2.Observation) -> Iterator[tuple[str, int, int]]:
    source = observation.source
    yield "source.cgroup_id", source.cgroup_id, MAX_INTEGER
    yield "source.epoch", source.epoch, MAX_TIME
    yield "first_seen_ns", observation.first_seen_ns, MAX_TIME
    yield "last_seen_ns", observation.last_seen_ns, MAX_TIME
    yield "wall_offset_ns", abs(observation.wall_offset_ns), MAX_OFFSET
    for entry in observation.ledger:
        yield "ledger: count", entry.count, MAX_COUNT
    for denial in observation.denials:
        yield "denials: count", denial.count, MAX_COUNT
        yield "denials: time_ns", max(denial.first.time_ns, denial.last.time_ns), MAX_TIME
    yield "accesses: time_ns", max((each.time_ns for each in observation.accesses), default=0), MAX_TIME


def _sights(observation: record_pb2.Observation) -> bytes | Refusal:
    """All of them as the store keeps them: there are hundreds, so no value is made of each."""
    rows: list[first_sights.Row] = [
        (each.abi, each.phase, each.outcome, each.number, each.time_ns, each.comm)
        for each in observation.first_sights
    ]
    if not rows:
        return b""
    *_, numbers, times, comms = zip(*rows, strict=True)
    for name, number, most in (("time_ns", max(times), MAX_TIME), ("number", max(numbers), MAX_NUMBER)):
        if number > most:
            return Refusal(Reason.TOO_LARGE, f"first_sights: {name} is {number}; at most {most} is taken")
    for comm in set(comms):
        if len(comm) > MAX_COMM or b"\0" in comm:
            text = (
                f"first_sights: a comm is {ascii(comm)[:MAX_WORDS]}; it has at most {MAX_COMM} bytes, no NUL"
            )
            return Refusal(Reason.INVALID, text)
    return first_sights.pack_rows(rows)


def _strange(identity: record_pb2.Identity) -> Iterator[Refusal]:
    """Who it is has to be said, and of a pod in the API's own words: results get their names from it."""
    if not identity.name or not _WORD.fullmatch(identity.container_id):
        yield Refusal(
            Reason.UNATTRIBUTED,
            f"it is of a container that nobody named (id {shown(identity.container_id)}): it cannot be said "
            "for which recording it is",
        )
    if identity.HasField("pod"):
        pod = identity.pod
        fits = (
            ("pod.namespace", pod.namespace, is_label(pod.namespace)),
            ("pod.name", pod.name, is_subdomain(pod.name)),
            ("pod.uid", pod.uid, bool(_UID.fullmatch(pod.uid))),
            ("name", identity.name, is_label(identity.name)),
        )
        for name, text, fit in fits:
            if not fit:
                yield Refusal(
                    Reason.INVALID, f"identity.{name} is {shown(text)}, which the API takes for none"
                )
