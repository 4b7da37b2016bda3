from recorder.record.v1 import record_pb2 as _record_pb2
from recorder.rpc.v1 import agent_pb2 as _agent_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AgentMessage(_message.Message):
    __slots__ = ("hello", "report")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    report: Report
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., report: _Optional[_Union[Report, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("node", "boot_id", "recorder_version", "kernel_release", "machine", "loader", "kinds", "bounds", "runtimes", "plan_revision")
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
    def __init__(self, node: _Optional[str] = ..., boot_id: _Optional[str] = ..., recorder_version: _Optional[str] = ..., kernel_release: _Optional[str] = ..., machine: _Optional[str] = ..., loader: _Optional[str] = ..., kinds: _Optional[_Iterable[_Union[_agent_pb2.Kind, str]]] = ..., bounds: _Optional[_Iterable[_Union[_agent_pb2.Bound, _Mapping]]] = ..., runtimes: _Optional[_Iterable[_Union[_agent_pb2.RuntimeStatus, _Mapping]]] = ..., plan_revision: _Optional[str] = ...) -> None: ...

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
