"""What the next agent needs besides the pins: one file, replaced as a whole, of one boot.

Pinned maps hold the calls of each slot; this holds who asked for them, and whose they are.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from google.protobuf.message import DecodeError

from recorder.agent import disk
from recorder.agent.v1 import state_pb2 as pb
from recorder.kernel.backend import Target
from recorder.model.errors import StorageError
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Source
from recorder.model.wire import from_identity, to_identity
from recorder.record.v1 import record_pb2
from recorder.rpc.v1.agent_pb2 import CaptureRequest
from recorder.rpc.v1.collector_pb2 import Plan

__all__ = ["CaptureState", "FollowedState", "Found", "Loaded", "State", "StateFile", "TargetState"]

MAGIC = b"recorder state 1\n"
NAME, DAMAGED = "state", "state.damaged"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FollowedState:
    """A slot of the kernel side that follows processes; base: its ledger when that began."""

    target: Target
    identity: Identity
    base: Ledger


@dataclass(frozen=True, slots=True)
class CaptureState:
    """A capture that outlives the agent: as it was asked for.

    `deadline_ns` of CLOCK_BOOTTIME; 0: none. `container_id`: what a selection by container was found to be.
    """

    id: str
    request: CaptureRequest
    deadline_ns: int = 0
    container_id: str = ""
    followed: FollowedState | None = None


@dataclass(frozen=True, slots=True)
class TargetState:
    """A slot: whose it is, and who asked.

    late: tasks were in it before its recording began. base: the global ledger as it was
    then. recordings, captures: ids. denials: they were asked for; denials_late: after it
    had begun; denials_missed: how many were lost of nobody knows whom when it began. accesses,
    accesses_late, accesses_missed: the same for accesses; access_unwatched: nobody had asked for them, and
    they were given back.
    """

    target: Target
    source: Source
    late: bool = False
    base: Ledger = field(default_factory=Ledger)
    identity: Identity = field(default_factory=Identity)
    recordings: tuple[str, ...] = ()
    captures: tuple[str, ...] = ()
    denials: bool = False
    denials_late: bool = False
    denials_missed: int = 0
    accesses: bool = False
    accesses_late: bool = False
    accesses_missed: int = 0
    access_unwatched: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """All that is kept. Messages are not to be changed.

    accesses_since_ns: from when on they are seen, of CLOCK_BOOTTIME; 0: they are not.
    """

    captures: tuple[CaptureState, ...] = ()
    plan: Plan | None = None
    targets: tuple[TargetState, ...] = ()
    accesses_since_ns: int = 0


class Found(StrEnum):
    """What there was to load."""

    WHOLE = "whole"
    MISSING = "missing"
    DAMAGED = "damaged"
    OTHER_BOOT = "of another boot"


@dataclass(frozen=True, slots=True)
class Loaded:
    """The state, empty unless it was found whole; `why`: what is wrong with a damaged one."""

    state: State
    found: Found
    why: str = ""

    def ledger(self, *, adopted: bool) -> Ledger:
        """The loss, if slots were adopted and nothing says whose they are."""
        lost = adopted and self.found is not Found.WHOLE
        return Ledger({"restart_without_state": 1}) if lost else Ledger()


class StateFile:
    """The file in the agent's folder of state (mode 0700, made if missing). One writer at a time.

    Raises StorageError, as do its methods.
    """

    def __init__(self, folder: Path, boot_id: str) -> None:
        self._path = folder / NAME
        self._boot_id = boot_id
        disk.make_folder(folder, "the agent's state")

    def load(self) -> Loaded:
        """What the last agent of this boot saved. A damaged file is kept beside, as state.damaged."""
        try:
            message = pb.State.FromString(disk.read_framed(self._path, MAGIC))
            if message.boot_id != self._boot_id:
                return Loaded(State(), Found.OTHER_BOOT)
            return Loaded(_of_message(message), Found.WHOLE)
        except FileNotFoundError:
            return Loaded(State(), Found.MISSING)
        except (ValueError, DecodeError) as error:
            return self._set_aside(str(error))
        except OSError as error:
            raise self._cannot("read", error) from error

    def _set_aside(self, why: str) -> Loaded:
        aside = self._path.with_name(DAMAGED)
        try:
            self._path.replace(aside)
        except OSError as error:
            raise self._cannot("set aside", error) from error
        _LOG.error("the agent's state %s is damaged and set aside as %s: %s", self._path, aside.name, why)
        return Loaded(State(), Found.DAMAGED, why)

    def save(self, state: State) -> None:
        """Whole and on disk when it returns; else what was there before stays."""
        content = _to_message(state, self._boot_id).SerializeToString(deterministic=True)
        try:
            disk.write_framed(self._path, MAGIC, content)
        except OSError as error:
            raise self._cannot("write", error) from error

    def remove(self) -> None:
        """Nothing is left for a next agent. May be repeated."""
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot("remove", error) from error

    def _cannot(self, what: str, error: OSError) -> StorageError:
        return StorageError(
            f"cannot {what} {self._path}: {error.strerror};"
            " the folder of state must be root's, on a writable file system with room"
        )


def _to_message(state: State, boot_id: str) -> pb.State:
    return pb.State(
        boot_id=boot_id,
        plan=state.plan,
        captures=[
            pb.CaptureState(
                id=each.id,
                request=each.request,
                deadline_ns=each.deadline_ns,
                container_id=each.container_id,
                followed=_to_followed(each.followed) if each.followed else None,
            )
            for each in state.captures
        ],
        targets=[_to_target(each) for each in state.targets],
        accesses_since_ns=state.accesses_since_ns,
    )


def _to_target(each: TargetState) -> pb.TargetState:
    source = each.source
    return pb.TargetState(
        source=record_pb2.Source(
            node=source.node, boot_id=source.boot_id, cgroup_id=source.cgroup_id, epoch=source.epoch
        ),
        slot=each.target.slot,
        generation=each.target.generation,
        late=each.late,
        base=[record_pb2.LedgerEntry(cause=cause, count=count) for cause, count in each.base.counts.items()],
        identity=to_identity(each.identity),
        recordings=each.recordings,
        captures=each.captures,
        denials=each.denials,
        denials_late=each.denials_late,
        denials_missed=each.denials_missed,
        accesses=each.accesses,
        accesses_late=each.accesses_late,
        accesses_missed=each.accesses_missed,
        access_unwatched=each.access_unwatched,
    )


def _of_message(message: pb.State) -> State:
    return State(
        captures=tuple(
            CaptureState(
                each.id,
                each.request,
                each.deadline_ns,
                each.container_id,
                _of_followed(each.followed) if each.HasField("followed") else None,
            )
            for each in message.captures
        ),
        plan=message.plan if message.HasField("plan") else None,
        targets=tuple(_of_target(each) for each in message.targets),
        accesses_since_ns=message.accesses_since_ns,
    )


def _to_followed(each: FollowedState) -> pb.FollowedState:
    return pb.FollowedState(
        slot=each.target.slot,
        generation=each.target.generation,
        cgroup_id=each.target.cgroup_id,
        identity=to_identity(each.identity),
        base=[record_pb2.LedgerEntry(cause=cause, count=count) for cause, count in each.base.counts.items()],
    )


def _of_followed(message: pb.FollowedState) -> FollowedState:
    return FollowedState(
        Target(message.slot, message.generation, message.cgroup_id),
        from_identity(message.identity),
        Ledger({each.cause: each.count for each in message.base}),
    )


def _of_target(message: pb.TargetState) -> TargetState:
    source = message.source
    return TargetState(
        target=Target(message.slot, message.generation, source.cgroup_id),
        source=Source(source.node, source.boot_id, source.cgroup_id, source.epoch),
        late=message.late,
        base=Ledger({each.cause: each.count for each in message.base}),
        identity=from_identity(message.identity),
        recordings=tuple(message.recordings),
        captures=tuple(message.captures),
        denials=message.denials,
        denials_late=message.denials_late,
        denials_missed=message.denials_missed,
        accesses=message.accesses,
        accesses_late=message.accesses_late,
        accesses_missed=message.accesses_missed,
        access_unwatched=message.access_unwatched,
    )
