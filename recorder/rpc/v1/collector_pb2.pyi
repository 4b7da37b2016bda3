from recorder.record.v1 import record_pb2 as _record_pb2
from recorder.rpc.v1 import agent_pb2 as _agent_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Confirmation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONFIRMATION_UNSPECIFIED: _ClassVar[Confirmation]
    CONFIRMATION_UNASKED: _ClassVar[Confirmation]
    CONFIRMATION_CONFIRMED: _ClassVar[Confirmation]
    CONFIRMATION_REFUSED: _ClassVar[Confirmation]
    CONFIRMATION_MISSING: _ClassVar[Confirmation]
CONFIRMATION_UNSPECIFIED: Confirmation
CONFIRMATION_UNASKED: Confirmation
CONFIRMATION_CONFIRMED: Confirmation
CONFIRMATION_REFUSED: Confirmation
CONFIRMATION_MISSING: Confirmation

class EnrollRequest(_message.Message):
    __slots__ = ("certificate_request",)
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    certificate_request: str
    def __init__(self, certificate_request: _Optional[str] = ...) -> None: ...

class EnrollResponse(_message.Message):
    __slots__ = ("certificate", "node", "now", "begins", "ends")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    BEGINS_FIELD_NUMBER: _ClassVar[int]
    ENDS_FIELD_NUMBER: _ClassVar[int]
    certificate: str
    node: str
    now: int
    begins: int
    ends: int
    def __init__(self, certificate: _Optional[str] = ..., node: _Optional[str] = ..., now: _Optional[int] = ..., begins: _Optional[int] = ..., ends: _Optional[int] = ...) -> None: ...

class AgentMessage(_message.Message):
    __slots__ = ("hello", "report")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    report: Report
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("node", "boot_id", "recorder_version", "kernel_release", "machine", "loader", "kinds", "bounds", "runtimes", "plan_revision", "problems", "modules")
    NODE_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    RECORDER_VERSION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_RELEASE_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    LOADER_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    BOUNDS_FIELD_NUMBER: _ClassVar[int]
    RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    PLAN_REVISION_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    MODULES_FIELD_NUMBER: _ClassVar[int]
    node: str
    boot_id: str
    recorder_version: str
    kernel_release: str
    machine: str
    loader: str
    kinds: _containers.RepeatedScalarFieldContainer[_agent_pb2.Kind]
    bounds: _containers.RepeatedCompositeFieldContainer[_agent_pb2.Bound]
    runtimes: _containers.RepeatedCompositeFieldContainer[_agent_pb2.RuntimeStatus]
    plan_revision: str
    problems: _containers.RepeatedCompositeFieldContainer[_agent_pb2.KindProblem]
    modules: _containers.RepeatedCompositeFieldContainer[_agent_pb2.SecurityModule]
    def __init__(self, node: _Optional[str] = ..., boot_id: _Optional[str] = ..., recorder_version: _Optional[str] = ..., kernel_release: _Optional[str] = ..., machine: _Optional[str] = ..., loader: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_agent_pb2.Kind, str]]] = ..., bounds: _Optional[_Iterable[_Union[_agent_pb2.Bound, _Mapping]]] = ..., runtimes: _Optional[_Iterable[_Union[_agent_pb2.RuntimeStatus, _Mapping]]] = ..., plan_revision: _Optional[str] = ..., problems: _Optional[_Iterable[_Union[_agent_pb2.KindProblem, _Mapping]]] = ..., modules: _Optional[_Iterable[_Union[_agent_pb2.SecurityModule, _Mapping]]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("sequence", "recordings", "observation", "not_recorded")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECORDINGS_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    NOT_RECORDED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    recordings: _containers.RepeatedScalarFieldContainer[str]
    observation: _record_pb2.Observation
    not_recorded: str
    def __init__(self, sequence: _Optional[int] = ..., recordings: _Optional[_Iterable[str]] = ..., observation: _Optional[_Union[_record_pb2.Observation, _Mapping]] = ..., not_recorded: _Optional[str] = ...) -> None: ...

class CollectorMessage(_message.Message):
    __slots__ = ("plan", "acknowledgement")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGEMENT_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    acknowledgement: Acknowledgement
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., acknowledgement: _Optional[_Union[Acknowledgement, _Mapping]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("revision", "recordings")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    RECORDINGS_FIELD_NUMBER: _ClassVar[int]
    revision: str
    recordings: _containers.RepeatedCompositeFieldContainer[PlannedRecording]
    def __init__(self, revision: _Optional[str] = ..., recordings: _Optional[_Iterable[_Union[PlannedRecording, _Mapping]]] = ...) -> None: ...

class PlannedRecording(_message.Message):
    __slots__ = ("id", "namespace", "selector", "containers", "kinds")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    SELECTOR_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    selector: LabelSelector
    containers: _containers.RepeatedScalarFieldContainer[str]
    kinds: _containers.RepeatedScalarFieldContainer[_agent_pb2.Kind]
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., selector: _Optional[_Union[LabelSelector, _Mapping]] = ..., containers: _Optional[_Iterable[str]] = ..., kinds: _Optional[_Iterable[_Union[_agent_pb2.Kind, str]]] = ...) -> None: ...

class LabelSelector(_message.Message):
    __slots__ = ("match_labels", "match_expressions")
    class MatchLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MATCH_LABELS_FIELD_NUMBER: _ClassVar[int]
    MATCH_EXPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    match_labels: _containers.ScalarMap[str, str]
    match_expressions: _containers.RepeatedCompositeFieldContainer[LabelExpression]
    def __init__(self, match_labels: _Optional[_Mapping[str, str]] = ..., match_expressions: _Optional[_Iterable[_Union[LabelExpression, _Mapping]]] = ...) -> None: ...

class LabelExpression(_message.Message):
    __slots__ = ("key", "operator", "values")
    KEY_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    key: str
    operator: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, key: _Optional[str] = ..., operator: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class Acknowledgement(_message.Message):
    __slots__ = ("sequence", "refused")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    refused: str
    def __init__(self, sequence: _Optional[int] = ..., refused: _Optional[str] = ...) -> None: ...

class RecordsFilter(_message.Message):
    __slots__ = ("namespace", "recording", "accesses")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    ACCESSES_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    recording: str
    accesses: bool
    def __init__(self, namespace: _Optional[str] = ..., recording: _Optional[str] = ..., accesses: _Optional[bool] = ...) -> None: ...

class GetRecordsRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: RecordsFilter
    def __init__(self, filter: _Optional[_Union[RecordsFilter, _Mapping]] = ...) -> None: ...

class GetRecordsResponse(_message.Message):
    __slots__ = ("recording", "container")
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    recording: RecordingSummary
    container: ContainerRecord
    def __init__(self, recording: _Optional[_Union[RecordingSummary, _Mapping]] = ..., container: _Optional[_Union[ContainerRecord, _Mapping]] = ...) -> None: ...

class WatchRecordsRequest(_message.Message):
    __slots__ = ("filter",)
    FILTER_FIELD_NUMBER: _ClassVar[int]
    filter: RecordsFilter
    def __init__(self, filter: _Optional[_Union[RecordsFilter, _Mapping]] = ...) -> None: ...

class WatchRecordsResponse(_message.Message):
    __slots__ = ("recording", "container", "synced", "gone")
    RECORDING_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    recording: RecordingSummary
    container: ContainerRecord
    synced: Synced
    gone: RecordingGone
    def __init__(self, recording: _Optional[_Union[RecordingSummary, _Mapping]] = ..., container: _Optional[_Union[ContainerRecord, _Mapping]] = ..., synced: _Optional[_Union[Synced, _Mapping]] = ..., gone: _Optional[_Union[RecordingGone, _Mapping]] = ...) -> None: ...

class Synced(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RecordingGone(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class RecordingSummary(_message.Message):
    __slots__ = ("id", "namespace", "name", "kind", "merge_strategy", "deleted", "results")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MERGE_STRATEGY_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    namespace: str
    name: str
    kind: str
    merge_strategy: str
    deleted: bool
    results: _containers.RepeatedCompositeFieldContainer[ResultSummary]
    def __init__(self, id: _Optional[str] = ..., namespace: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., merge_strategy: _Optional[str] = ..., deleted: _Optional[bool] = ..., results: _Optional[_Iterable[_Union[ResultSummary, _Mapping]]] = ...) -> None: ...

class ResultSummary(_message.Message):
    __slots__ = ("kind", "name", "container", "suffix", "partial", "state")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_FIELD_NUMBER: _ClassVar[int]
    SUFFIX_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    container: str
    suffix: str
    partial: bool
    state: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., container: _Optional[str] = ..., suffix: _Optional[str] = ..., partial: _Optional[bool] = ..., state: _Optional[str] = ...) -> None: ...

class ContainerRecord(_message.Message):
    __slots__ = ("recording_id", "id", "observation", "confirmation", "reason", "not_recorded", "generate_name", "accesses", "more")
    RECORDING_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OBSERVATION_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NOT_RECORDED_FIELD_NUMBER: _ClassVar[int]
    GENERATE_NAME_FIELD_NUMBER: _ClassVar[int]
    ACCESSES_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    recording_id: str
    id: int
    observation: _record_pb2.Observation
    confirmation: Confirmation
    reason: str
    not_recorded: str
    generate_name: str
    accesses: int
    more: bool
    def __init__(self, recording_id: _Optional[str] = ..., id: _Optional[int] = ..., observation: _Optional[_Union[_record_pb2.Observation, _Mapping]] = ..., confirmation: _Optional[_Union[Confirmation, str]] = ..., reason: _Optional[str] = ..., not_recorded: _Optional[str] = ..., generate_name: _Optional[str] = ..., accesses: _Optional[int] = ..., more: _Optional[bool] = ...) -> None: ...
