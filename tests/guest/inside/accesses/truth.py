"""What was used, as AppArmor's audit records say it and as the recorder does, to be compared.

An item is a tuple of words: one permission on one object, such as ("file", b"/etc/passwd", "r").
"""

import signal
import socket
from collections.abc import Iterator

from recorder.model.access import (
    Capability,
    CapabilityRight,
    File,
    FileKind,
    FileRight,
    Mount,
    MountStep,
    Ptrace,
    PtraceRight,
    Signal,
    SignalRight,
    Socket,
    SocketRight,
    Subject,
    UnixSocket,
    UserNamespace,
)
from tests.truth.audit_avc import AvcRecord

Item = tuple[object, ...]

# Both are about files that were open already: AppArmor looks again because the profile changed
AGAIN = frozenset({b"file_inherit", b"file_perm"})
# About profiles, which a program that has none does not touch
PROFILES = frozenset({b"change_profile", b"change_hat", b"change_onexec", b"stack"})
# security/apparmor/file.c: what each right asks for, as letters of its audit records
LETTERS = {
    FileRight.READ: "r",
    FileRight.WRITE: "w",
    FileRight.APPEND: "a",
    FileRight.CREATE: "c",
    FileRight.RENAME: "rwd",
    FileRight.LINK: "l",
    FileRight.TRUNCATE: "w",
    FileRight.CHMOD: "w",
    FileRight.CHOWN: "w",
    FileRight.REMOVE: "d",
    FileRight.EXEC: "x",
    FileRight.MMAP_EXEC: "m",
    FileRight.LOCK: "k",
}
WORDS = {right: right.name.lower() for right in SocketRight}
# include/uapi/linux/capability.h
CAPABILITIES = (
    *("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap"),
    *(
        "linux_immutable",
        "net_bind_service",
        "net_broadcast",
        "net_admin",
        "net_raw",
        "ipc_lock",
        "ipc_owner",
    ),
    *(
        "sys_module",
        "sys_rawio",
        "sys_chroot",
        "sys_ptrace",
        "sys_pacct",
        "sys_admin",
        "sys_boot",
        "sys_nice",
    ),
    *(
        "sys_resource",
        "sys_time",
        "sys_tty_config",
        "mknod",
        "lease",
        "audit_write",
        "audit_control",
        "setfcap",
    ),
    *("mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read", "perfmon", "bpf"),
    *("checkpoint_restore"),
)
SIGNALS = {0: "exists", **{each.value: each.name[3:].lower() for each in signal.Signals}}
STEPS = {
    b"bind": MountStep.BIND,
    b"move": MountStep.MOVE,
    b"remount": MountStep.REMOUNT,
    b"private": MountStep.PROPAGATION,
}


def _family(number: int) -> str:
    return socket.AddressFamily(number).name[3:].lower()


def _kind(number: int) -> str:
    return socket.SocketKind(number).name[5:].lower()


def from_audit(record: AvcRecord) -> Iterator[Item]:
    """The items of one record."""
    fields = record.fields
    operation = fields["operation"]
    words = (fields.get("requested_mask") or fields.get("requested") or b"").decode()
    name = fields.get("name", b"")
    if operation in AGAIN or operation in PROFILES:
        return
    if operation == b"capable":
        # asked by who does not act on the answer as on a use
        if fields.get("info") != b"optional: no audit":
            yield "capability", fields["capname"].decode()
    elif "family" in fields:
        family, kind = fields["family"].decode(), fields["sock_type"].decode()
        protocol = "" if family == "unix" else fields["protocol"].decode()
        for word in words.split():
            if word in WORDS.values():
                yield "socket", family, kind, protocol, word
    elif operation == b"signal":
        yield "signal", fields["signal"].decode(), words
    elif operation == b"ptrace":
        yield "ptrace", words
    elif operation == b"userns_create":
        yield ("user namespace",)
    elif operation in (b"mount", b"umount", b"pivotroot"):
        steps = [step for word, step in STEPS.items() if word in record.text.partition(b" flags=")[2]]
        step = steps[0] if steps else MountStep.MOUNT
        step = {b"umount": MountStep.UMOUNT, b"pivotroot": MountStep.PIVOT_ROOT}.get(operation, step)
        source = fields.get("srcname", b"")
        yield "mount", step, name.rstrip(b"/"), source.rstrip(b"/"), fields.get("fstype", b"")
    else:
        for letter in words:
            yield "file", name, letter
        if operation == b"link":
            yield "link", name, fields["target"]


def _of_file(subject: File, rights: int) -> Iterator[Item]:
    if subject.kind == FileKind.ANONYMOUS:
        return
    slash = b"/" if subject.kind == FileKind.FOLDER and subject.path != b"/" else b""
    for right, letters in LETTERS.items():
        if rights & right:
            yield from (("file", subject.path + slash, letter) for letter in letters)
    if rights & FileRight.RENAME:
        yield from (("file", subject.target + slash, letter) for letter in "wc")
    if rights & FileRight.LINK:
        yield "link", subject.path, subject.target


def from_recorder(subject: Subject, rights: int) -> Iterator[Item]:
    """The items of one subject, of those that AppArmor has a word for."""
    match subject:
        case File():
            yield from _of_file(subject, rights)
        case Socket(family, kind, protocol):
            for right, word in WORDS.items():
                if rights & right:
                    yield "socket", _family(family), _kind(kind), str(protocol), word
        case UnixSocket(kind):
            for right, word in WORDS.items():
                if rights & right:
                    yield "socket", "unix", _kind(kind), "", word
        case Signal(number):
            # the other one is in the same cgroup, and in no profile
            if rights & SignalRight.SEND:
                yield "signal", SIGNALS[number], "send"
        case Ptrace():
            for right in (PtraceRight.READ, PtraceRight.TRACE):
                if rights & right:
                    yield "ptrace", right.name.lower()
        case Capability(number):
            if rights & CapabilityRight.GRANTED:
                yield "capability", CAPABILITIES[number]
        case UserNamespace():
            yield ("user namespace",)
        case Mount(step, source, target, kind):
            yield "mount", step, target.rstrip(b"/"), source.rstrip(b"/"), kind
