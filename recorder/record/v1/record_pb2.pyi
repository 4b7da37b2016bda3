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

class FileKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILE_KIND_UNSPECIFIED: _ClassVar[FileKind]
    FILE_KIND_REGULAR: _ClassVar[FileKind]
    FILE_KIND_FOLDER: _ClassVar[FileKind]
    FILE_KIND_SYMLINK: _ClassVar[FileKind]
    FILE_KIND_SOCKET: _ClassVar[FileKind]
    FILE_KIND_FIFO: _ClassVar[FileKind]
    FILE_KIND_CHARACTER: _ClassVar[FileKind]
    FILE_KIND_BLOCK: _ClassVar[FileKind]
    FILE_KIND_ANONYMOUS: _ClassVar[FileKind]

class MountStep(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MOUNT_STEP_UNSPECIFIED: _ClassVar[MountStep]
    MOUNT_STEP_MOUNT: _ClassVar[MountStep]
    MOUNT_STEP_REMOUNT: _ClassVar[MountStep]
    MOUNT_STEP_BIND: _ClassVar[MountStep]
    MOUNT_STEP_MOVE: _ClassVar[MountStep]
    MOUNT_STEP_PROPAGATION: _ClassVar[MountStep]
    MOUNT_STEP_UMOUNT: _ClassVar[MountStep]
    MOUNT_STEP_PIVOT_ROOT: _ClassVar[MountStep]
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
FILE_KIND_UNSPECIFIED: FileKind
FILE_KIND_REGULAR: FileKind
FILE_KIND_FOLDER: FileKind
FILE_KIND_SYMLINK: FileKind
FILE_KIND_SOCKET: FileKind
FILE_KIND_FIFO: FileKind
FILE_KIND_CHARACTER: FileKind
FILE_KIND_BLOCK: FileKind
FILE_KIND_ANONYMOUS: FileKind
MOUNT_STEP_UNSPECIFIED: MountStep
MOUNT_STEP_MOUNT: MountStep
MOUNT_STEP_REMOUNT: MountStep
MOUNT_STEP_BIND: MountStep
MOUNT_STEP_MOVE: MountStep
MOUNT_STEP_PROPAGATION: MountStep
MOUNT_STEP_UMOUNT: MountStep
MOUNT_STEP_PIVOT_ROOT: MountStep

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
    __slots__ = ("source", "identity", "calls", "first_sights", "ledger", "provenance", "first_seen_ns", "last_seen_ns", "wall_offset_ns", "ended", "denials", "accesses", "accesses_cut_at")
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
    ACCESSES_FIELD_NUMBER: _ClassVar[int]
    ACCESSES_CUT_AT_FIELD_NUMBER: _ClassVar[int]
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
    accesses: _containers.RepeatedCompositeFieldContainer[Access]
    accesses_cut_at: bytes
    def __init__(self, source: _Optional[_Union[Source, _Mapping]] = ..., identity: _Optional[_Union[Identity, _Mapping]] = ..., calls: _Optional[_Iterable[_Union[CallSet, _Mapping]]] = ..., first_sights: _Optional[_Iterable[_Union[FirstSight, _Mapping]]] = ..., ledger: _Optional[_Iterable[_Union[LedgerEntry, _Mapping]]] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., first_seen_ns: _Optional[int] = ..., last_seen_ns: _Optional[int] = ..., wall_offset_ns: _Optional[int] = ..., ended: _Optional[bool] = ..., denials: _Optional[_Iterable[_Union[Denial, _Mapping]]] = ..., accesses: _Optional[_Iterable[_Union[Access, _Mapping]]] = ..., accesses_cut_at: _Optional[bytes] = ...) -> None: ...

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

class Access(_message.Message):
    __slots__ = ("phase", "file", "socket", "unix", "signal", "ptrace", "mount", "capability", "user_namespace", "io_uring", "queue", "rights", "time_ns", "comm")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    UNIX_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    PTRACE_FIELD_NUMBER: _ClassVar[int]
    MOUNT_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    USER_NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    IO_URING_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    RIGHTS_FIELD_NUMBER: _ClassVar[int]
    TIME_NS_FIELD_NUMBER: _ClassVar[int]
    COMM_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    file: File
    socket: Socket
    unix: UnixSocket
    signal: Signal
    ptrace: Ptrace
    mount: Mount
    capability: Capability
    user_namespace: UserNamespace
    io_uring: IoUring
    queue: MessageQueue
    rights: int
    time_ns: int
    comm: bytes
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., file: _Optional[_Union[File, _Mapping]] = ..., socket: _Optional[_Union[Socket, _Mapping]] = ..., unix: _Optional[_Union[UnixSocket, _Mapping]] = ..., signal: _Optional[_Union[Signal, _Mapping]] = ..., ptrace: _Optional[_Union[Ptrace, _Mapping]] = ..., mount: _Optional[_Union[Mount, _Mapping]] = ..., capability: _Optional[_Union[Capability, _Mapping]] = ..., user_namespace: _Optional[_Union[UserNamespace, _Mapping]] = ..., io_uring: _Optional[_Union[IoUring, _Mapping]] = ..., queue: _Optional[_Union[MessageQueue, _Mapping]] = ..., rights: _Optional[int] = ..., time_ns: _Optional[int] = ..., comm: _Optional[bytes] = ...) -> None: ...

class File(_message.Message):
    __slots__ = ("path", "target", "kind", "cut")
    PATH_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    path: bytes
    target: bytes
    kind: FileKind
    cut: bool
    def __init__(self, path: _Optional[bytes] = ..., target: _Optional[bytes] = ..., kind: _Optional[_Union[FileKind, str]] = ..., cut: _Optional[bool] = ...) -> None: ...

class Socket(_message.Message):
    __slots__ = ("family", "type", "protocol")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    family: int
    type: int
    protocol: int
    def __init__(self, family: _Optional[int] = ..., type: _Optional[int] = ..., protocol: _Optional[int] = ...) -> None: ...

class UnixSocket(_message.Message):
    __slots__ = ("type", "address", "peer_address", "peer")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    type: int
    address: bytes
    peer_address: bytes
    peer: Peer
    def __init__(self, type: _Optional[int] = ..., address: _Optional[bytes] = ..., peer_address: _Optional[bytes] = ..., peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...

class Peer(_message.Message):
    __slots__ = ("inside", "label")
    INSIDE_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    inside: bool
    label: bytes
    def __init__(self, inside: _Optional[bool] = ..., label: _Optional[bytes] = ...) -> None: ...

class Signal(_message.Message):
    __slots__ = ("number", "peer")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    number: int
    peer: Peer
    def __init__(self, number: _Optional[int] = ..., peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...

class Ptrace(_message.Message):
    __slots__ = ("peer",)
    PEER_FIELD_NUMBER: _ClassVar[int]
    peer: Peer
    def __init__(self, peer: _Optional[_Union[Peer, _Mapping]] = ...) -> None: ...

class Mount(_message.Message):
    __slots__ = ("step", "source", "target", "file_system", "flags")
    STEP_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    FILE_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    FLAGS_FIELD_NUMBER: _ClassVar[int]
    step: MountStep
    source: bytes
    target: bytes
    file_system: bytes
    flags: int
    def __init__(self, step: _Optional[_Union[MountStep, str]] = ..., source: _Optional[bytes] = ..., target: _Optional[bytes] = ..., file_system: _Optional[bytes] = ..., flags: _Optional[int] = ...) -> None: ...

class Capability(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class UserNamespace(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class IoUring(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MessageQueue(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    def __init__(self, name: _Optional[bytes] = ...) -> None: ...
