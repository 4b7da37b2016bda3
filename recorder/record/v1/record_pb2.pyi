from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Abi(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ABI_UNSPECIFIED: _ClassVar[Abi]
    ABI_X86_64: _ClassVar[Abi]
    ABI_I386: _ClassVar[Abi]
    ABI_X32: _ClassVar[Abi]
    ABI_AARCH64: _ClassVar[Abi]
    ABI_ARM: _ClassVar[Abi]

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_SETUP: _ClassVar[Phase]
    PHASE_WORKLOAD: _ClassVar[Phase]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_ALLOWED: _ClassVar[Outcome]
    OUTCOME_DENIED: _ClassVar[Outcome]

class ContainerKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONTAINER_KIND_UNSPECIFIED: _ClassVar[ContainerKind]
    CONTAINER_KIND_NORMAL: _ClassVar[ContainerKind]
    CONTAINER_KIND_INIT: _ClassVar[ContainerKind]
    CONTAINER_KIND_EPHEMERAL: _ClassVar[ContainerKind]
ABI_UNSPECIFIED: Abi
ABI_X86_64: Abi
ABI_I386: Abi
ABI_X32: Abi
ABI_AARCH64: Abi
ABI_ARM: Abi
PHASE_UNSPECIFIED: Phase
PHASE_SETUP: Phase
PHASE_WORKLOAD: Phase
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_ALLOWED: Outcome
OUTCOME_DENIED: Outcome
CONTAINER_KIND_UNSPECIFIED: ContainerKind
CONTAINER_KIND_NORMAL: ContainerKind
CONTAINER_KIND_INIT: ContainerKind
CONTAINER_KIND_EPHEMERAL: ContainerKind

class Record(_message.Message):
    __slots__ = ("observations",)
    OBSERVATIONS_FIELD_NUMBER: _ClassVar[int]
    observations: _containers.RepeatedCompositeFieldContainer[Observation]
    def __init__(self, observations: _Optional[_Iterable[_Union[Observation, _Mapping]]] = ...) -> None: ...

class Source(_message.Message):
    __slots__ = ("node", "boot_id", "cgroup_id", "epoch")
    NODE_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    CGROUP_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    node: str
    boot_id: str
    cgroup_id: int
    epoch: int
    def __init__(self, node: _Optional[str] = ..., boot_id: _Optional[str] = ..., cgroup_id: _Optional[int] = ..., epoch: _Optional[int] = ...) -> None: ...

class Observation(_message.Message):
    __slots__ = ("source", "identity", "calls", "first_sights", "ledger", "provenance", "first_seen_ns", "last_seen_ns", "wall_offset_ns", "ended", "denials")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    IDENTITY_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    FIRST_SIGHTS_FIELD_NUMBER: _ClassVar[int]
    LEDGER_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_NS_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_NS_FIELD_NUMBER: _ClassVar[int]
    WALL_OFFSET_NS_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    DENIALS_FIELD_NUMBER: _ClassVar[int]
    source: Source
    identity: Identity
    calls: _containers.RepeatedCompositeFieldContainer[CallSet]
    first_sights: _containers.RepeatedCompositeFieldContainer[FirstSight]
    ledger: _containers.RepeatedCompositeFieldContainer[LedgerEntry]
    provenance: Provenance
    first_seen_ns: int
    last_seen_ns: int
    wall_offset_ns: int
    ended: bool
    denials: _containers.RepeatedCompositeFieldContainer[Denial]
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[CallSet, _Mapping]]] = ..., first_sights: _Optional[_Iterable[_Union[FirstSight, _Mapping]]] = ..., ledger: _Optional[_Iterable[_Union[LedgerEntry, _Mapping]]] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., first_seen_ns: _Optional[int] = ..., last_seen_ns: _Optional[int] = ..., wall_offset_ns: _Optional[int] = ..., ended: _Optional[bool] = ..., denials: _Optional[_Iterable[_Union[Denial, _Mapping]]] = ...) -> None: ...

class Identity(_message.Message):
    __slots__ = ("name", "cgroup_path", "container_id", "kind", "pod", "image", "image_digest", "restart_count", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    CGROUP_PATH_FIELD_NUMBER: _ClassVar[int]
    CONTAINER_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    POD_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RESTART_COUNT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    cgroup_path: str
    container_id: str
    kind: ContainerKind
    pod: Pod
    image: str
    image_digest: str
    restart_count: int
    labels: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., cgroup_path: _Optional[str] = ..., container_id: _Optional[str] = ..., kind: _Optional[_Union[ContainerKind, str]] = ..., pod: _Optional[_Union[Pod, _Mapping]] = ..., image: _Optional[str] = ..., image_digest: _Optional[str] = ..., restart_count: _Optional[int] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Pod(_message.Message):
    __slots__ = ("namespace", "name", "uid")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    name: str
    uid: str
    def __init__(self, namespace: _Optional[str] = ..., name: _Optional[str] = ..., uid: _Optional[str] = ...) -> None: ...

class CallSet(_message.Message):
    __slots__ = ("abi", "phase", "outcome", "numbers")
    ABI_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    NUMBERS_FIELD_NUMBER: _ClassVar[int]
    abi: Abi
    phase: Phase
    outcome: Outcome
    numbers: bytes
    def __init__(self, abi: _Optional[_Union[Abi, str]] = ..., phase: _Optional[_Union[Phase, str]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., numbers: _Optional[bytes] = ...) -> None: ...

class FirstSight(_message.Message):
    __slots__ = ("abi", "phase", "outcome", "number", "time_ns", "comm")
    ABI_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    abi: Abi
    phase: Phase
    outcome: Outcome
    number: int
    time_ns: int
    comm: bytes
    def __init__(self, abi: _Optional[_Union[Abi, str]] = ..., phase: _Optional[_Union[Phase, str]] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., number: _Optional[int] = ..., time_ns: _Optional[int] = ..., comm: _Optional[bytes] = ...) -> None: ...

class LedgerEntry(_message.Message):
    __slots__ = ("cause", "count")
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    cause: str
    count: int
    def __init__(self, cause: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("recorder_version", "kernel_release", "machine", "loader", "phases", "runtime", "runtime_version", "kinds", "denials")
    RECORDER_VERSION_FIELD_NUMBER: _ClassVar[int]
    KERNEL_RELEASE_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    LOADER_FIELD_NUMBER: _ClassVar[int]
    PHASES_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_VERSION_FIELD_NUMBER: _ClassVar[int]
    KINDS_FIELD_NUMBER: _ClassVar[int]
    DENIALS_FIELD_NUMBER: _ClassVar[int]
    recorder_version: str
    kernel_release: str
    machine: str
    loader: str
    phases: str
    runtime: str
    runtime_version: str
    kinds: str
    denials: str
    def __init__(self, recorder_version: _Optional[str] = ..., kernel_release: _Optional[str] = ..., machine: _Optional[str] = ..., loader: _Optional[str] = ..., phases: _Optional[str] = ..., runtime: _Optional[str] = ..., runtime_version: _Optional[str] = ..., kinds: _Optional[str] = ..., denials: _Optional[str] = ...) -> None: ...

class Denial(_message.Message):
    __slots__ = ("verdict", "apparmor", "selinux", "count", "first", "last", "lacks")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    APPARMOR_FIELD_NUMBER: _ClassVar[int]
    SELINUX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    LACKS_FIELD_NUMBER: _ClassVar[int]
    verdict: str
    apparmor: AppArmorDenial
    selinux: SelinuxDenial
    count: int
    first: Sighting
    last: Sighting
    lacks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, verdict: _Optional[str] = ..., apparmor: _Optional[_Union[AppArmorDenial, _Mapping]] = ..., selinux: _Optional[_Union[SelinuxDenial, _Mapping]] = ..., count: _Optional[int] = ..., first: _Optional[_Union[Sighting, _Mapping]] = ..., last: _Optional[_Union[Sighting, _Mapping]] = ..., lacks: _Optional[_Iterable[str]] = ...) -> None: ...

class Sighting(_message.Message):
    __slots__ = ("time_ns", "pid", "comm")
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    time_ns: int
    pid: int
    comm: bytes
    def __init__(self, time_ns: _Optional[int] = ..., pid: _Optional[int] = ..., comm: _Optional[bytes] = ...) -> None: ...

class Text(_message.Message):
    __slots__ = ("content", "length")
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    content: bytes
    length: int
    def __init__(self, content: _Optional[bytes] = ..., length: _Optional[int] = ...) -> None: ...

class AppArmorDenial(_message.Message):
    __slots__ = ("operation", "object_class", "profile", "namespace", "complain", "requested", "denied", "name", "target", "peer", "info", "error", "capability", "family", "socket_type", "protocol", "port", "signal", "limit", "file_system", "mount_flags", "owner")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    OBJECT_CLASS_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COMPLAIN_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_FIELD_NUMBER: _ClassVar[int]
    DENIED_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    SOCKET_TYPE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    FILE_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    MOUNT_FLAGS_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    operation: str
    object_class: str
    profile: Text
    namespace: Text
    complain: bool
    requested: _containers.RepeatedScalarFieldContainer[str]
    denied: _containers.RepeatedScalarFieldContainer[str]
    name: Text
    target: Text
    peer: Text
    info: Text
    error: int
    capability: str
    family: str
    socket_type: str
    protocol: int
    port: int
    signal: int
    limit: int
    file_system: Text
    mount_flags: int
    owner: int
    def __init__(self, operation: _Optional[str] = ..., object_class: _Optional[str] = ..., profile: _Optional[_Union[Text, _Mapping]] = ..., namespace: _Optional[_Union[Text, _Mapping]] = ..., complain: _Optional[bool] = ..., requested: _Optional[_Iterable[str]] = ..., denied: _Optional[_Iterable[str]] = ..., name: _Optional[_Union[Text, _Mapping]] = ..., target: _Optional[_Union[Text, _Mapping]] = ..., peer: _Optional[_Union[Text, _Mapping]] = ..., info: _Optional[_Union[Text, _Mapping]] = ..., error: _Optional[int] = ..., capability: _Optional[str] = ..., family: _Optional[str] = ..., socket_type: _Optional[str] = ..., protocol: _Optional[int] = ..., port: _Optional[int] = ..., signal: _Optional[int] = ..., limit: _Optional[int] = ..., file_system: _Optional[_Union[Text, _Mapping]] = ..., mount_flags: _Optional[int] = ..., owner: _Optional[int] = ...) -> None: ...

class SelinuxDenial(_message.Message):
    __slots__ = ("source", "target", "object_class", "permissions", "permissive", "name", "capability", "family", "port")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    OBJECT_CLASS_FIELD_NUMBER: _ClassVar[int]
    PERMISSIONS_FIELD_NUMBER: _ClassVar[int]
    PERMISSIVE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    source: Text
    target: Text
    object_class: str
    permissions: _containers.RepeatedScalarFieldContainer[str]
    permissive: bool
    name: Text
    capability: str
    family: str
    port: int
    def __init__(self, source: _Optional[_Union[Text, _Mapping]] = ..., target: _Optional[_Union[Text, _Mapping]] = ..., object_class: _Optional[str] = ..., permissions: _Optional[_Iterable[str]] = ..., permissive: _Optional[bool] = ..., name: _Optional[_Union[Text, _Mapping]] = ..., capability: _Optional[str] = ..., family: _Optional[str] = ..., port: _Optional[int] = ...) -> None: ...
