"""The error tree: every failure that a person can meet has a class and a code here.

::

    RecorderError
    ├── InputError                what was given is wrong
    │   ├── UsageError            USAGE
    │   ├── InvalidRecord         INVALID_RECORD
    │   ├── InvalidProfile        INVALID_PROFILE
    │   ├── InvalidRecording      INVALID_RECORDING
    │   ├── CgroupNotFound        CGROUP_NOT_FOUND
    │   ├── ProcessNotFound       PROCESS_NOT_FOUND
    │   ├── ContainerNotFound     CONTAINER_NOT_FOUND
    │   ├── InvalidSettings       INVALID_SETTINGS
    │   ├── InvalidCertificate    INVALID_CERTIFICATE
    │   └── BudgetExceeded        BUDGET_EXCEEDED
    ├── MachineError              this machine, or this set-up of it, cannot do it
    │   ├── UnsupportedKernel     UNSUPPORTED_KERNEL
    │   ├── NoBtf                 NO_BTF
    │   ├── NoCgroup2             NO_CGROUP2
    │   ├── NotPermitted          NOT_PERMITTED
    │   ├── MissingObject         MISSING_OBJECT
    │   ├── MissingLibrary        MISSING_LIBRARY
    │   ├── MissingHeaders        MISSING_HEADERS
    │   ├── AddressInUse          ADDRESS_IN_USE
    │   ├── NotRecordable         NOT_RECORDABLE
    │   ├── RuntimeUnreachable    RUNTIME_UNREACHABLE
    │   ├── StorageError          STORAGE
    │   ├── SpoolFull             SPOOL_FULL
    │   ├── StoreDamaged          STORE_DAMAGED
    │   └── StoreFull             STORE_FULL
    ├── BpfError                  the kernel side could not be set up
    │   ├── BpfLoadError          BPF_LOAD
    │   ├── BpfLimit              BPF_LIMIT
    │   ├── LayoutMismatch        LAYOUT
    │   └── PinMismatch           PIN_MISMATCH
    ├── CommandError              the command to record did not start
    │   ├── CommandNotFound       COMMAND_NOT_FOUND
    │   └── CommandNotExecutable  COMMAND_NOT_EXECUTABLE
    ├── RemoteError               an agent or a collector did not do what it was asked
    │   ├── Unreachable           UNREACHABLE
    │   ├── PlatformUnreachable   PLATFORM_UNREACHABLE
    │   ├── Untrusted             UNTRUSTED
    │   ├── AccessDenied          ACCESS_DENIED
    │   ├── InvalidRequest        INVALID_REQUEST
    │   ├── NotFound              NOT_FOUND
    │   ├── LimitReached          LIMIT_REACHED
    │   ├── TimedOut              TIMED_OUT
    │   └── RemoteFailed          REMOTE_FAILED
    ├── OutputError               OUTPUT
    ├── Incomplete                INCOMPLETE
    ├── Interrupted               INTERRUPTED
    └── InternalError             INTERNAL

A message says what happened, to what, and what the person can do. A code never
changes its meaning; programs may rely on it. `InputError`, `MachineError`,
`BpfError`, `CommandError` and `RemoteError` group others and have no code: they
are caught, never raised.
"""

# ruff: noqa: N818 -- the names say what happened; the Error suffix is for those that would not be clear without

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar


class RecorderError(Exception):
    """The root. Caught where a failure is shown, never raised itself."""

    code: ClassVar[str] = ""
    meaning: ClassVar[str] = ""


class InputError(RecorderError):
    """What was given is wrong; another input may work."""


class UsageError(InputError):
    """The command line does not make sense."""

    code = "USAGE"
    meaning = "the command line is wrong: an unknown option or format, or options that exclude each other"


class InvalidRecord(InputError):
    """A record cannot be read; the message names the field."""

    code = "INVALID_RECORD"
    meaning = "a record cannot be read, or one of its fields has a value that no record can have"


class InvalidProfile(InputError):
    """A profile could not work, or cannot be read."""

    code = "INVALID_PROFILE"
    meaning = "a profile is refused: it allows nothing, has an unknown name or has no architecture"


class InvalidRecording(InputError):
    """A ProfileRecording that cannot be done as it is written."""

    code = "INVALID_RECORDING"
    meaning = "a ProfileRecording is malformed, or asks for what cannot be recorded"


class CgroupNotFound(InputError):
    """The cgroup to record does not exist."""

    code = "CGROUP_NOT_FOUND"
    meaning = "there is no such cgroup, or it is not on cgroup v2"


class ProcessNotFound(InputError):
    """The process to record does not exist."""

    code = "PROCESS_NOT_FOUND"
    meaning = "there is no such process, or it ended meanwhile"


class ContainerNotFound(InputError):
    """No runtime of this machine has such a container or pod; or nothing of it ran, or of a unit."""

    code = "CONTAINER_NOT_FOUND"
    meaning = "there is no such container or pod on this machine, or nothing of what was selected ran"


class InvalidSettings(InputError):
    """A setting of a service is unknown, or cannot be; the message names it."""

    code = "INVALID_SETTINGS"
    meaning = "a setting of a service is unknown, or has a value that it cannot have"


class InvalidCertificate(InputError):
    """A file for TLS cannot be used; the message names it."""

    code = "INVALID_CERTIFICATE"
    meaning = "a certificate, key or CA file for TLS cannot be read, or they do not belong together"


class BudgetExceeded(InputError):
    """The bounds together take more memory than the budget; the message has the arithmetic."""

    code = "BUDGET_EXCEEDED"
    meaning = "the bounds of a service together take more memory than its budget"


class MachineError(RecorderError):
    """The machine lacks something that recording needs."""


class UnsupportedKernel(MachineError):
    """The kernel lacks a feature; the message names it and the version that has it."""

    code = "UNSUPPORTED_KERNEL"
    meaning = "the kernel lacks a feature that recording needs"


class NoBtf(MachineError):
    """The kernel was built without type information."""

    code = "NO_BTF"
    meaning = "the kernel has no type information (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF)"


class NoCgroup2(MachineError):
    """No cgroup v2 hierarchy is mounted."""

    code = "NO_CGROUP2"
    meaning = "no cgroup v2 hierarchy is mounted"


class NotPermitted(MachineError):
    """A privilege is missing; the message names it."""

    code = "NOT_PERMITTED"
    meaning = "the privilege to do it is missing: not root, or a security module forbids it"


class MissingObject(MachineError):
    """The compiled BPF object is not where it should be."""

    code = "MISSING_OBJECT"
    meaning = "the BPF object is not built or not installed"


class MissingLibrary(MachineError):
    """A shared library is not installed, or too old."""

    code = "MISSING_LIBRARY"
    meaning = "a shared library (libbpf) is not installed, or too old"


class MissingHeaders(MachineError):
    """Kernel headers for the bcc loader; the message names the package and what was looked for."""

    code = "MISSING_HEADERS"
    meaning = "the kernel headers that the bcc loader needs are not installed, or are of another kernel"


class AddressInUse(MachineError):
    """A socket or port cannot be listened on; the message says who has it, where that is known."""

    code = "ADDRESS_IN_USE"
    meaning = "the socket or port to serve on belongs to another process, or cannot be made"


class NotRecordable(MachineError):
    """A container whose calls are not its own to this kernel."""

    code = "NOT_RECORDABLE"
    meaning = "the container runs in a virtual machine or a user-space kernel, or cannot be recorded this way"


class RuntimeUnreachable(MachineError):
    """A container runtime does not answer, or its answer makes no sense; the message has its words."""

    code = "RUNTIME_UNREACHABLE"
    meaning = "a container runtime does not answer in time, or not with sense"


class StorageError(MachineError):
    """A folder in which a service keeps something cannot be read or written."""

    code = "STORAGE"
    meaning = "a service's folder of state, or its spool, cannot be read or written"


class SpoolFull(MachineError):
    """The spool has no room: its own bound, or the file system's."""

    code = "SPOOL_FULL"
    meaning = "the spool, or the file system that it is on, has no room for an ended record"


class StoreDamaged(MachineError):
    """The collector's store is not what was written; nothing is read from it."""

    code = "STORE_DAMAGED"
    meaning = "the collector's store is damaged, or of a newer recorder"


class StoreFull(MachineError):
    """The collector's store has no room: its own bound, or the file system's."""

    code = "STORE_FULL"
    meaning = "the collector's store, or the file system that it is on, has no room"


class BpfError(RecorderError):
    """The kernel side could not be set up."""


class BpfLoadError(BpfError):
    """The kernel refused a BPF object; the message has the library's own log lines."""

    code = "BPF_LOAD"
    meaning = "the kernel refused a BPF program, map or attachment"


class BpfLimit(BpfError):
    """A bound that was set in advance is reached."""

    code = "BPF_LIMIT"
    meaning = "a bound of the kernel side is reached: no slot is free, or a size is out of range"


class LayoutMismatch(BpfError):
    """The BPF object and this program disagree about a shared structure."""

    code = "LAYOUT"
    meaning = "the BPF object was built for another version of this program"


class PinMismatch(BpfError):
    """Pinned maps or programs are not what this version pins."""

    code = "PIN_MISMATCH"
    meaning = "what is pinned was made by another version or with other sizes"


class CommandError(RecorderError):
    """The command to record did not start."""


class CommandNotFound(CommandError):
    """There is no such command."""

    code = "COMMAND_NOT_FOUND"
    meaning = "the command to record is not found"


class CommandNotExecutable(CommandError):
    """The command exists and cannot be run."""

    code = "COMMAND_NOT_EXECUTABLE"
    meaning = "the command to record is found and cannot be run"


class RemoteError(RecorderError):
    """An agent or a collector did not do what it was asked."""


class Unreachable(RemoteError):
    """Nobody answers at the address, or the connection broke."""

    code = "UNREACHABLE"
    meaning = "nobody answers at the address of the agent or collector, or the connection broke"


class PlatformUnreachable(RemoteError):
    """The API server, or the folder that stands for it, does not answer; it is asked again."""

    code = "PLATFORM_UNREACHABLE"
    meaning = "the Kubernetes API, or a folder of recordings or results, cannot be asked just now"


class Untrusted(RemoteError):
    """The TLS handshake failed: one side does not trust the other's certificate."""

    code = "UNTRUSTED"
    meaning = "no TLS connection: one side has no certificate that the other trusts"


class AccessDenied(RemoteError):
    """The other side knows who asks, and does not allow it; the message names the role."""

    code = "ACCESS_DENIED"
    meaning = "the agent does not allow this to the certificate that was shown"


class InvalidRequest(RemoteError):
    """A field of the request was refused; the message names it."""

    code = "INVALID_REQUEST"
    meaning = "the other side refused a field of the request"


class NotFound(RemoteError):
    """What the request names does not exist there."""

    code = "NOT_FOUND"
    meaning = "there is no such container, pod, unit or process on the agent's node"


class LimitReached(RemoteError):
    """A bound of the other side is reached; the message names it."""

    code = "LIMIT_REACHED"
    meaning = "a bound of the agent is reached, or a message is larger than allowed"


class TimedOut(RemoteError):
    """No answer within the time that was given."""

    code = "TIMED_OUT"
    meaning = "no answer from the agent or collector in time"


class RemoteFailed(RemoteError):
    """Any other failure of the other side, with its own words."""

    code = "REMOTE_FAILED"
    meaning = "the agent or collector failed, or cannot do what was asked"


class OutputError(RecorderError):
    """The result cannot be written."""

    code = "OUTPUT"
    meaning = "the result cannot be written"


class Incomplete(RecorderError):
    """Completeness was demanded, and the verdict is lossy."""

    code = "INCOMPLETE"
    meaning = "the recording lost something, and completeness was demanded (--strict)"


class Interrupted(RecorderError):
    """Somebody ended the program before it was done."""

    code = "INTERRUPTED"
    meaning = "ended by Ctrl-C before there was a result"


class InternalError(RecorderError):
    """A fault of this program."""

    code = "INTERNAL"
    meaning = "a fault of this program; please report it with the message"


def _tree(root: type[RecorderError]) -> Iterator[type[RecorderError]]:
    yield root
    for child in root.__subclasses__():
        yield from _tree(child)


CODES: Mapping[str, str] = MappingProxyType(
    {error.code: error.meaning for error in _tree(RecorderError) if error.code}
)
"""Each code with its meaning in one line, in the order of the tree."""
