"""The error tree: every failure that a person can meet has a class and a code here.

::

    RecorderError
    ├── InputError                what was given is wrong
    │   ├── UsageError            USAGE
    │   ├── InvalidRecord         INVALID_RECORD
    │   ├── InvalidProfile        INVALID_PROFILE
    │   └── CgroupNotFound        CGROUP_NOT_FOUND
    ├── MachineError              this machine, or this set-up of it, cannot do it
    │   ├── UnsupportedKernel     UNSUPPORTED_KERNEL
    │   ├── NoBtf                 NO_BTF
    │   ├── NoCgroup2             NO_CGROUP2
    │   ├── NotPermitted          NOT_PERMITTED
    │   ├── MissingObject         MISSING_OBJECT
    │   └── MissingLibrary        MISSING_LIBRARY
    ├── BpfError                  the kernel side could not be set up
    │   ├── BpfLoadError          BPF_LOAD
    │   ├── BpfLimit              BPF_LIMIT
    │   ├── LayoutMismatch        LAYOUT
    │   └── PinMismatch           PIN_MISMATCH
    ├── CommandError              the command to record did not start
    │   ├── CommandNotFound       COMMAND_NOT_FOUND
    │   └── CommandNotExecutable  COMMAND_NOT_EXECUTABLE
    ├── OutputError               OUTPUT
    ├── Incomplete                INCOMPLETE
    ├── Interrupted               INTERRUPTED
    └── InternalError             INTERNAL

A message says what happened, to what, and what the person can do. A code never
changes its meaning; programs may rely on it. `InputError`, `MachineError`,
`BpfError` and `CommandError` group others and have no code: they are caught,
never raised.
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


class CgroupNotFound(InputError):
    """The cgroup to record does not exist."""

    code = "CGROUP_NOT_FOUND"
    meaning = "there is no such cgroup, or it is not on cgroup v2"


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
