"""The record as protobuf message and as JSON (protobuf's JSON mapping).

What is written is sorted, so one record always gives the same bytes. What is
read may be unsorted and may say things twice: entries for one key are joined.
Enum values and causes that are not known here are kept. In JSON, fields that are
not known here are refused: they would be lost when the record is written again,
and any JSON object at all would pass for an empty record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from recorder.model.accesses import Accesses
from recorder.model.errors import InvalidRecord
from recorder.model.ledger import Ledger
from recorder.model.numbers import MAX_BYTES, Numbers
from recorder.model.record import (
    MAX_COMM,
    CallKey,
    FirstSight,
    Identity,
    Observation,
    Pod,
    Provenance,
    Record,
    SightKey,
    Source,
)
from recorder.record.v1 import record_pb2 as pb

if TYPE_CHECKING:
    from recorder.model.denial import DenialCount, DenialKey

__all__ = [
    "from_identity",
    "from_json",
    "from_message",
    "from_observation",
    "to_identity",
    "to_json",
    "to_message",
    "to_observation",
]


def to_message(record: Record) -> pb.Record:
    """Return the record as a message.

    InvalidRecord, with the path of the observation, for a value that the message
    has no room for: a negative time, a count above 64 bits, text with surrogates.
    """
    return pb.Record(
        observations=[
            to_observation(each, f"observations[{index}]") for index, each in enumerate(record.observations)
        ]
    )


def from_message(message: pb.Record) -> Record:
    """Return the message's record; InvalidRecord with the path of the field that is wrong."""
    return Record(
        tuple(
            from_observation(each, f"observations[{index}]")
            for index, each in enumerate(message.observations)
        )
    )


def to_json(record: Record) -> str:
    """Return the record as JSON: keys sorted, two spaces of indent, a newline at the end."""
    mapping = json_format.MessageToDict(to_message(record))
    return json.dumps(mapping, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def from_json(text: str) -> Record:
    """Return the JSON text's record; InvalidRecord if it is no record."""
    if not text.lstrip().startswith("{"):  # the JSON mapping's parser takes [] for a message without fields
        raise InvalidRecord("not a record in JSON: a record is a JSON object, and begins with {")
    try:
        message = json_format.Parse(text, pb.Record())
    except (json_format.ParseError, ValueError, RecursionError) as error:
        raise InvalidRecord(
            f"not a record in JSON: {error}; expected is what `--format record` of this version writes"
        ) from error
    return from_message(message)


def to_identity(identity: Identity) -> pb.Identity:
    """Return the identity as a message."""
    pod = identity.pod
    return pb.Identity(
        name=identity.name,
        cgroup_path=identity.cgroup_path,
        container_id=identity.container_id,
        kind=_enum(identity.kind),
        pod=pb.Pod(namespace=pod.namespace, name=pod.name, uid=pod.uid) if pod else None,
        image=identity.image,
        image_digest=identity.image_digest,
        restart_count=identity.restart_count,
        labels=identity.labels,
    )


def from_identity(message: pb.Identity) -> Identity:
    """Return the message's identity."""
    pod = message.pod
    return Identity(
        name=message.name,
        cgroup_path=message.cgroup_path,
        container_id=message.container_id,
        kind=message.kind,
        pod=Pod(pod.namespace, pod.name, pod.uid) if message.HasField("pod") else None,
        image=message.image,
        image_digest=message.image_digest,
        restart_count=message.restart_count,
        labels=dict(message.labels),
    )


def to_observation(observation: Observation, path: str = "observation") -> pb.Observation:
    """Return one observation as a message; errors as `to_message`, with `path` in front."""
    try:
        return _converted(observation)
    except (ValueError, TypeError) as error:
        raise InvalidRecord(f"{path} of {observation.source} does not fit the format: {error}") from error


def _converted(observation: Observation) -> pb.Observation:
    source, identity, provenance = observation.source, observation.identity, observation.provenance
    return pb.Observation(
        source=pb.Source(
            node=source.node, boot_id=source.boot_id, cgroup_id=source.cgroup_id, epoch=source.epoch
        ),
        identity=to_identity(identity),
        calls=[
            pb.CallSet(
                abi=_enum(key.abi),
                phase=_enum(key.phase),
                outcome=_enum(key.outcome),
                numbers=numbers.to_bytes(),
            )
            for key, numbers in observation.calls.items()
        ],
        first_sights=[
            pb.FirstSight(
                abi=_enum(key.abi),
                phase=_enum(key.phase),
                outcome=_enum(key.outcome),
                number=key.number,
                time_ns=sight.time_ns,
                comm=sight.comm,
            )
            for key, sight in observation.first_sights.items()
        ],
        ledger=[
            pb.LedgerEntry(cause=cause, count=count) for cause, count in observation.ledger.counts.items()
        ],
        provenance=pb.Provenance(
            recorder_version=provenance.recorder_version,
            kernel_release=provenance.kernel_release,
            machine=provenance.machine,
            loader=provenance.loader,
            phases=provenance.phases,
            runtime=provenance.runtime,
            runtime_version=provenance.runtime_version,
            kinds=provenance.kinds,
            denials=provenance.denials,
        ),
        first_seen_ns=observation.first_seen_ns,
        last_seen_ns=observation.last_seen_ns,
        wall_offset_ns=observation.wall_offset_ns,
        ended=observation.ended,
        denials=_to_denials(observation.denials) if observation.denials else (),
        accesses=_to_accesses(observation.accesses) if observation.accesses else (),
        accesses_cut_at=observation.accesses.cut_at,
    )


def from_observation(
    message: pb.Observation,
    path: str = "observation",
    *,
    first_sights: bool = True,
    accesses: bool = True,
) -> Observation:
    """Return the message's observation; errors as `from_message`, with `path` in front.

    first_sights, accesses: False leaves them out, unread: there are hundreds, or thousands, and they are
    most of the work.
    """
    if not message.HasField("source"):
        raise InvalidRecord(f"{path}.source is missing: an observation without a source cannot be joined")
    source, provenance = message.source, message.provenance
    return Observation(
        source=Source(source.node, source.boot_id, source.cgroup_id, source.epoch),
        identity=from_identity(message.identity),
        calls=_from_calls(path, message.calls),
        first_sights=_from_sights(path, message.first_sights) if first_sights else {},
        ledger=_from_ledger(path, message.ledger),
        provenance=Provenance(
            recorder_version=provenance.recorder_version,
            kernel_release=provenance.kernel_release,
            machine=provenance.machine,
            loader=provenance.loader,
            phases=provenance.phases,
            runtime=provenance.runtime,
            runtime_version=provenance.runtime_version,
            kinds=provenance.kinds,
            denials=provenance.denials,
        ),
        first_seen_ns=message.first_seen_ns,
        last_seen_ns=message.last_seen_ns,
        wall_offset_ns=message.wall_offset_ns,
        ended=message.ended,
        denials=_from_denials(path, message.denials) if message.denials else {},
        accesses=_from_accesses(path, message.accesses if accesses else (), message.accesses_cut_at),
    )


def _to_denials(denials: Mapping[DenialKey, DenialCount]) -> list[pb.Denial]:
    from recorder.model.denial_wire import to_denials  # noqa: PLC0415 - as in recorder.model.record

    return to_denials(denials)


def _from_denials(path: str, messages: Sequence[pb.Denial]) -> dict[DenialKey, DenialCount]:
    from recorder.model.denial_wire import from_denials  # noqa: PLC0415 - as above

    return from_denials(path, messages)


def _to_accesses(accesses: Accesses) -> list[pb.Access]:
    from recorder.model.access_wire import to_accesses  # noqa: PLC0415 - as above

    return to_accesses(accesses)


def _from_accesses(path: str, messages: Sequence[pb.Access], cut_at: bytes) -> Accesses:
    if not (messages or cut_at):
        return Accesses()
    from recorder.model.access_wire import from_accesses  # noqa: PLC0415 - as above

    return from_accesses(path, messages, cut_at)


def _from_calls(path: str, messages: Iterable[pb.CallSet]) -> dict[CallKey, Numbers]:
    calls: dict[CallKey, Numbers] = {}
    for index, each in enumerate(messages):
        if len(each.numbers) > MAX_BYTES:
            raise InvalidRecord(
                f"{path}.calls[{index}].numbers has {len(each.numbers)} bytes;"
                f" at most {MAX_BYTES} are allowed"
            )
        key = CallKey(each.abi, each.phase, each.outcome)
        calls[key] = calls.get(key, Numbers()) | Numbers.from_bytes(each.numbers)
    return calls


def _from_sights(path: str, messages: Iterable[pb.FirstSight]) -> dict[SightKey, FirstSight]:
    sights: dict[SightKey, FirstSight] = {}
    for index, each in enumerate(messages):
        if len(each.comm) > MAX_COMM or b"\0" in each.comm:
            raise InvalidRecord(
                f"{path}.first_sights[{index}].comm is {each.comm!r};"
                f" at most {MAX_COMM} bytes without NUL are allowed"
            )
        key = SightKey(each.abi, each.phase, each.outcome, each.number)
        sight = FirstSight(each.time_ns, each.comm)
        sights[key] = min(sights.get(key, sight), sight)
    return sights


def _from_ledger(path: str, messages: Iterable[pb.LedgerEntry]) -> Ledger:
    ledger = Ledger()
    for index, each in enumerate(messages):
        try:
            ledger = ledger.join(Ledger({each.cause: each.count}))
        except ValueError as error:
            raise InvalidRecord(f"{path}.ledger[{index}]: {error}") from error
    return ledger


def _enum(value: int) -> Any:
    # proto3 enums are open: the runtime takes any int32, the stubs' types only members.
    return value
