import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from recorder.record.v1 import record_pb2 as _record_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    KIND_UNSPECIFIED: _ClassVar[Kind]
    KIND_SYSCALLS: _ClassVar[Kind]
    KIND_DENIALS: _ClassVar[Kind]
    KIND_ACCESSES: _ClassVar[Kind]
KIND_UNSPECIFIED: Kind
KIND_SYSCALLS: Kind
KIND_DENIALS: Kind
KIND_ACCESSES: Kind

class Selection(_message.Message):
    __slots__ = ("container", "pod", "cgroup", "unit", "pid", "all")
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    CGROUP_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    container: str
    pod: PodSelection
    cgroup: str
    unit: str
    pid: int
    all: AllContainers
    def __init__(self, container: _Optional[str] = ..., pod: _Optional[_Union[PodSelection, _Mapping]] = ..., cgroup: _Optional[str] = ..., unit: _Optional[str] = ..., pid: _Optional[int] = ..., all: _Optional[_Union[AllContainers, _Mapping]] = ...) -> None: ...

class AllContainers(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PodSelection(_message.Message):
    __slots__ = ("namespace", "name", "container")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    container: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., container: _Optional[str] = ...) -> None: ...

class CaptureRequest(_message.Message):
    __slots__ = ("selection", "kinds", "duration", "snapshots_per_second", "capture_id", "phases")
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_ID_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    selection: Selection
    kinds: _containers.RepeatedScalarFieldContainer[Kind]
    duration: _duration_pb2.Duration
    snapshots_per_second: float
    capture_id: str
    phases: str
    def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ..., kinds: _Optional[_Iterable[_Union[Kind, str]]] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., snapshots_per_second: _Optional[float] = ..., capture_id: _Optional[str] = ..., phases: _Optional[str] = ...) -> None: ...

class CaptureResponse(_message.Message):
    __slots__ = ("started", "snapshot", "keep_alive")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    KEEP_ALIVE_FIELD_NUMBER: _ClassVar[int]
    started: CaptureStarted
    snapshot: Snapshot
    keep_alive: KeepAlive
    def __init__(self, started: _Optional[_Union[CaptureStarted, _Mapping]] = ..., snapshot: _Optional[_Union[Snapshot, _Mapping]] = ..., keep_alive: _Optional[_Union[KeepAlive, _Mapping]] = ...) -> None: ...

class CaptureStarted(_message.Message):
    __slots__ = ("capture_id", "resumed")
    CAPTURE_ID_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    capture_id: str
    resumed: bool
    def __init__(self, capture_id: _Optional[str] = ..., resumed: _Optional[bool] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("record", "final", "selected")
    RECORD_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    SELECTED_FIELD_NUMBER: _ClassVar[int]
    record: _record_pb2.Record
    final: bool
    selected: int
    def __init__(self, record: _Optional[_Union[_record_pb2.Record, _Mapping]] = ..., final: _Optional[bool] = ..., selected: _Optional[int] = ...) -> None: ...

class KeepAlive(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListContainersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListContainersResponse(_message.Message):
    __slots__ = ("containers",)
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    containers: _containers.RepeatedCompositeFieldContainer[ContainerStatus]
    def __init__(self, containers: _Optional[_Iterable[_Union[ContainerStatus, _Mapping]]] = ...) -> None: ...

class ContainerStatus(_message.Message):
    __slots__ = ("identity", "pid", "cgroup_id", "recorded", "not_recordable", "ended", "runtime", "runtime_version")
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    CGROUP_ID_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    NOT_RECORDABLE_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_VERSION_FIELD_NUMBER: _ClassVar[int]
    identity: _record_pb2.Identity
    pid: int
    cgroup_id: int
    recorded: bool
    not_recordable: str
    ended: bool
    runtime: str
    runtime_version: str
    def __init__(self, identity: _Optional[_Union[_record_pb2.Identity, _Mapping]] = ..., pid: _Optional[int] = ..., cgroup_id: _Optional[int] = ..., recorded: _Optional[bool] = ..., not_recordable: _Optional[str] = ..., ended: _Optional[bool] = ..., runtime: _Optional[str] = ..., runtime_version: _Optional[str] = ...) -> None: ...

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("node", "recorder_version", "kernel_release", "machine", "loader", "attached", "bounds", "ledger", "captures", "plan", "runtimes", "uplink", "kinds", "problems", "modules")
    NODE_FIELD_NUMBER: _ClassVar[int]
    RECORDER_VERSION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_RELEASE_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    LOADER_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    CAPTURES_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    UPLINK_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    node: str
    recorder_version: str
    kernel_release: str
    machine: str
    loader: str
    attached: bool
    bounds: _containers.RepeatedCompositeFieldContainer[Bound]
    ledger: _containers.RepeatedCompositeFieldContainer[_record_pb2.LedgerEntry]
    captures: _containers.RepeatedCompositeFieldContainer[CaptureStatus]
    plan: PlanStatus
    runtimes: _containers.RepeatedCompositeFieldContainer[RuntimeStatus]
    uplink: UplinkStatus
    kinds: _containers.RepeatedScalarFieldContainer[Kind]
    problems: _containers.RepeatedCompositeFieldContainer[KindProblem]
    modules: _containers.RepeatedCompositeFieldContainer[SecurityModule]
    def __init__(self, node: _Optional[str] = ..., recorder_version: _Optional[str] = ..., kernel_release: _Optional[str] = ..., machine: _Optional[str] = ..., loader: _Optional[str] = ..., attached: _Optional[bool] = ..., bounds: _Optional[_Iterable[_Union[Bound, _Mapping]]] = ..., ledger: _Optional[_Iterable[_Union[_record_pb2.LedgerEntry, _Mapping]]] = ..., captures: _Optional[_Iterable[_Union[CaptureStatus, _Mapping]]] = ..., plan: _Optional[_Union[PlanStatus, _Mapping]] = ..., runtimes: _Optional[_Iterable[_Union[RuntimeStatus, _Mapping]]] = ..., uplink: _Optional[_Union[UplinkStatus, _Mapping]] = ..., kinds: _Optional[_Iterable[_Union[Kind, str]]] = ..., problems: _Optional[_Iterable[_Union[KindProblem, _Mapping]]] = ..., modules: _Optional[_Iterable[_Union[SecurityModule, _Mapping]]] = ...) -> None: ...

class KindProblem(_message.Message):
    __slots__ = ("kind", "problem")
    KIND_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    kind: Kind
    problem: str
    def __init__(self, kind: _Optional[_Union[Kind, str]] = ..., problem: _Optional[str] = ...) -> None: ...

class SecurityModule(_message.Message):
    __slots__ = ("name", "mode")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    name: str
    mode: str
    def __init__(self, name: _Optional[str] = ..., mode: _Optional[str] = ...) -> None: ...

class Bound(_message.Message):
    __slots__ = ("name", "limit", "used", "refused", "unit")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    name: str
    limit: int
    used: int
    refused: int
    unit: str
    def __init__(self, name: _Optional[str] = ..., limit: _Optional[int] = ..., used: _Optional[int] = ..., refused: _Optional[int] = ..., unit: _Optional[str] = ...) -> None: ...

class CaptureStatus(_message.Message):
    __slots__ = ("capture_id", "selection", "recorded", "connected")
    CAPTURE_ID_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    capture_id: str
    selection: str
    recorded: int
    connected: bool
    def __init__(self, capture_id: _Optional[str] = ..., selection: _Optional[str] = ..., recorded: _Optional[int] = ..., connected: _Optional[bool] = ...) -> None: ...

class PlanStatus(_message.Message):
    __slots__ = ("revision", "recordings")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RECORDINGS_FIELD_NUMBER: _ClassVar[int]
    revision: str
    recordings: int
    def __init__(self, revision: _Optional[str] = ..., recordings: _Optional[int] = ...) -> None: ...

class RuntimeStatus(_message.Message):
    __slots__ = ("name", "version", "endpoint", "reachable", "problem")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    REACHABLE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    endpoint: str
    reachable: bool
    problem: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., endpoint: _Optional[str] = ..., reachable: _Optional[bool] = ..., problem: _Optional[str] = ...) -> None: ...

class UplinkStatus(_message.Message):
    __slots__ = ("collector", "connected", "unacknowledged", "spool_bytes", "problem", "certificate_ends")
    COLLECTOR_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    UNACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    SPOOL_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_ENDS_FIELD_NUMBER: _ClassVar[int]
    collector: str
    connected: bool
    unacknowledged: int
    spool_bytes: int
    problem: str
    certificate_ends: int
    def __init__(self, collector: _Optional[str] = ..., connected: _Optional[bool] = ..., unacknowledged: _Optional[int] = ..., spool_bytes: _Optional[int] = ..., problem: _Optional[str] = ..., certificate_ends: _Optional[int] = ...) -> None: ...
