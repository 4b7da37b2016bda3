"""Entries of shared memory as values of the model, by hand."""

import pytest

from recorder.kernel.accesses_layout import Entry
from recorder.kernel.accesses_reading import subject_of
from recorder.model.access import (
    Capability,
    File,
    FileKind,
    IoUring,
    MessageQueue,
    Mount,
    MountStep,
    Peer,
    Ptrace,
    Signal,
    Socket,
    UnixSocket,
    UserNamespace,
)

CASES = {
    "a file": ({"kind": 1, "object": 8}, (b"/a", b"", b""), File(b"/a", b"", FileKind.REGULAR)),
    "a rename of a folder": (
        {"kind": 1, "object": 4},
        (b"/a", b"/b", b""),
        File(b"/a", b"/b", FileKind.FOLDER),
    ),
    "a cut path": ({"kind": 1, "object": 8, "flags": 2}, (b"/a", b"", b""), File(b"/a", b"", 1, cut=True)),
    "a memfd": (
        {"kind": 1, "object": 8, "flags": 8 | 4},
        (b"memfd:x", b"", b""),
        File(b"memfd:x", b"", FileKind.ANONYMOUS),
    ),
    "a file of no tree": ({"kind": 1, "object": 12, "flags": 16}, (b"/a/b", b"", b""), File(b"a/b", b"", 4)),
    "a kind without a name": ({"kind": 1, "object": 3}, (b"/a", b"", b""), File(b"/a")),
    "a socket": ({"kind": 2, "object": 10, "type": 3, "protocol": 58}, (b"", b"", b""), Socket(10, 3, 58)),
    "a unix socket": ({"kind": 3, "type": 1}, (b"\0x", b"", b""), UnixSocket(1, b"\0x")),
    "its peer": (
        {"kind": 3, "type": 2, "peer": 2},
        (b"", b"/s", b""),
        UnixSocket(2, b"", b"/s", Peer(inside=False)),
    ),
    "a signal": ({"kind": 4, "object": 9, "peer": 1}, (b"", b"", b""), Signal(9, Peer(inside=True))),
    "ptrace": ({"kind": 5, "peer": 2}, (b"", b"", b""), Ptrace(Peer(inside=False))),
    "a mount": (
        {"kind": 6, "object": 1, "number": 6},
        (b"/mnt", b"none", b"tmpfs"),
        Mount(MountStep.MOUNT, b"none", b"/mnt", b"tmpfs", 6),
    ),
    "a capability": ({"kind": 7, "object": 21}, (b"", b"", b""), Capability(21)),
    "a user namespace": ({"kind": 8}, (b"", b"", b""), UserNamespace()),
    "io_uring": ({"kind": 9}, (b"", b"", b""), IoUring()),
    "a queue": ({"kind": 10}, (b"/q", b"", b""), MessageQueue(b"/q")),
}


@pytest.mark.parametrize("case", CASES)
def test_an_entry_is_its_subject(case):
    """Each kind, with the numbers that the kernel side writes."""
    what, texts, subject = CASES[case]
    entry = Entry()
    for name, value in what.items():
        setattr(entry.what, name, value)
    assert subject_of(entry, texts) == subject
