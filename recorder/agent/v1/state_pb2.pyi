from recorder.record.v1 import record_pb2 as _record_pb2
from recorder.rpc.v1 import agent_pb2 as _agent_pb2
from recorder.rpc.v1 import collector_pb2 as _collector_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class State(_message.Message):
    __slots__ = ("boot_id", "plan", "captures", "targets", "accesses_since_ns")
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    CAPTURES_FIELD_NUMBER: _ClassVar[int]
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    ACCESSES_SINCE_NS_FIELD_NUMBER: _ClassVar[int]
    boot_id: str
    plan: _collector_pb2.Plan
    captures: _containers.RepeatedCompositeFieldContainer[CaptureState]
    targets: _containers.RepeatedCompositeFieldContainer[TargetState]
    accesses_since_ns: int
    def __init__(self, boot_id: _Optional[str] = ..., plan: _Optional[_Union[_collector_pb2.Plan, _Mapping]] = ..., captures: _Optional[_Iterable[_Union[CaptureState, _Mapping]]] = ..., targets: _Optional[_Iterable[_Union[TargetState, _Mapping]]] = ..., accesses_since_ns: _Optional[int] = ...) -> None: ...

class CaptureState(_message.Message):
    __slots__ = ("id", "request", "deadline_ns", "container_id", "followed")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_NS_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    FOLLOWED_FIELD_NUMBER: _ClassVar[int]
    id: str
    request: _agent_pb2.CaptureRequest
    deadline_ns: int
    container_id: str
    followed: FollowedState
    def __init__(self, id: _Optional[str] = ..., request: _Optional[_Union[_agent_pb2.CaptureRequest, _Mapping]] = ..., deadline_ns: _Optional[int] = ..., container_id: _Optional[str] = ..., followed: _Optional[_Union[FollowedState, _Mapping]] = ...) -> None: ...

class FollowedState(_message.Message):
    __slots__ = ("slot", "generation", "cgroup_id", "identity", "base")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    CGROUP_ID_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    slot: int
    generation: int
    cgroup_id: int
    identity: _record_pb2.Identity
    base: _containers.RepeatedCompositeFieldContainer[_record_pb2.LedgerEntry]
    def __init__(self, slot: _Optional[int] = ..., generation: _Optional[int] = ..., cgroup_id: _Optional[int] = ..., identity: _Optional[_Union[_record_pb2.Identity, _Mapping]] = ..., base: _Optional[_Iterable[_Union[_record_pb2.LedgerEntry, _Mapping]]] = ...) -> None: ...

class TargetState(_message.Message):
    __slots__ = ("source", "slot", "generation", "late", "base", "identity", "recordings", "captures", "denials", "denials_late", "denials_missed", "accesses", "accesses_late", "accesses_missed", "access_unwatched")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    RECORDINGS_FIELD_NUMBER: _ClassVar[int]
    CAPTURES_FIELD_NUMBER: _ClassVar[int]
    DENIALS_FIELD_NUMBER: _ClassVar[int]
    DENIALS_LATE_FIELD_NUMBER: _ClassVar[int]
    DENIALS_MISSED_FIELD_NUMBER: _ClassVar[int]
    ACCESSES_FIELD_NUMBER: _ClassVar[int]
    ACCESSES_LATE_FIELD_NUMBER: _ClassVar[int]
    ACCESSES_MISSED_FIELD_NUMBER: _ClassVar[int]
    ACCESS_UNWATCHED_FIELD_NUMBER: _ClassVar[int]
    source: _record_pb2.Source
    slot: int
    generation: int
    late: bool
    base: _containers.RepeatedCompositeFieldContainer[_record_pb2.LedgerEntry]
    identity: _record_pb2.Identity
    recordings: _containers.RepeatedScalarFieldContainer[str]
    captures: _containers.RepeatedScalarFieldContainer[str]
    denials: bool
    denials_late: bool
    denials_missed: int
    accesses: bool
    accesses_late: bool
    accesses_missed: int
    access_unwatched: bool
    def __init__(self, source: _Optional[_Union[_record_pb2.Source, _Mapping]] = ..., slot: _Optional[int] = ..., generation: _Optional[int] = ..., late: _Optional[bool] = ..., base: _Optional[_Iterable[_Union[_record_pb2.LedgerEntry, _Mapping]]] = ..., identity: _Optional[_Union[_record_pb2.Identity, _Mapping]] = ..., recordings: _Optional[_Iterable[str]] = ..., captures: _Optional[_Iterable[str]] = ..., denials: _Optional[bool] = ..., denials_late: _Optional[bool] = ..., denials_missed: _Optional[int] = ..., accesses: _Optional[bool] = ..., accesses_late: _Optional[bool] = ..., accesses_missed: _Optional[int] = ..., access_unwatched: _Optional[bool] = ...) -> None: ...

class SpoolEntry(_message.Message):
    __slots__ = ("observation", "recordings", "captures")
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    RECORDINGS_FIELD_NUMBER: _ClassVar[int]
    CAPTURES_FIELD_NUMBER: _ClassVar[int]
    observation: _record_pb2.Observation
    recordings: _containers.RepeatedScalarFieldContainer[str]
    captures: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, observation: _Optional[_Union[_record_pb2.Observation, _Mapping]] = ..., recordings: _Optional[_Iterable[str]] = ..., captures: _Optional[_Iterable[str]] = ...) -> None: ...
