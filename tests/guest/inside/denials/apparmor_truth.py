"""AppArmor's denials in the words of its audit records, from either side, to be compared."""

import signal
from typing import NamedTuple

from recorder.model.denial import AppArmorDenial, Denial, Verdict
from tests.truth.audit_avc import AvcRecord

# security/apparmor/file.c: the letters of aa_file_perm_chrs, and what map_mask_to_chr_mask() makes of others
LETTERS = {
    "exec": "x",
    "write": "w",
    "read": "r",
    "append": "a",
    "create": "c",
    "delete": "d",
    "lock": "k",
    "mmap": "m",
    "link": "l",
    "setattr": "w",
    "chmod": "w",
    "chown": "w",
    "getattr": "r",
}
# lib/signals: as security/apparmor/include/sig_names.h has them; 0 is a signal that only asks
SIGNALS = {0: b"exists", **{each.value: each.name[3:].lower().encode() for each in signal.Signals}}
VERDICTS = {Verdict.DENIED: b"DENIED", Verdict.ALLOWED: b"ALLOWED", Verdict.AUDITED: b"AUDIT"}


class Said(NamedTuple):
    """One record, without who and when."""

    verdict: bytes
    operation: bytes
    profile: bytes
    name: bytes
    target: bytes
    peer: bytes
    requested: frozenset[str]
    denied: frozenset[str]
    capability: bytes
    family: bytes
    socket_type: bytes
    protocol: bytes
    signal: bytes
    source: bytes
    file_system: bytes
    info: bytes


def from_audit(record: AvcRecord) -> Said:
    """As the kernel printed it."""
    fields = record.fields

    def get(name: str) -> bytes:
        return fields.get(name, b"")

    # newer kernels write those of a socket without `_mask`
    masks = (get("requested_mask") or get("requested"), get("denied_mask") or get("denied"))
    words = "family" in fields or get("operation") in (b"ptrace", b"signal", b"userns_create")
    requested, denied = (mask.decode().split() if words else list(mask.decode()) for mask in masks)
    if get("operation") in (b"change_profile", b"change_onexec"):
        requested, denied = [], []
    return Said(
        *(get(name) for name in ("apparmor", "operation", "profile", "name", "target", "peer")),
        frozenset(requested),
        frozenset(denied),
        *(
            get(name)
            for name in ("capname", "family", "sock_type", "protocol", "signal", "srcname", "fstype")
        ),
        get("info"),
    )


def from_recorder(denial: Denial) -> Said:
    """As the recorder has it."""
    seen = denial.details
    assert isinstance(seen, AppArmorDenial)
    requested, denied = list(seen.requested), list(seen.denied)
    is_file = seen.family is None and seen.operation not in ("ptrace", "signal", "userns_create")
    if is_file:
        requested = [LETTERS.get(word, word) for word in requested]
        denied = [LETTERS.get(word, word) for word in denied]
    if seen.operation in ("change_profile", "change_onexec") or seen.object_class in ("mount", "capability"):
        requested, denied = [], []
    mount = seen.object_class == "mount"
    return Said(
        VERDICTS[denial.verdict],
        seen.operation.encode(),
        seen.profile.content,
        seen.name.content,
        b"" if mount else seen.target.content,
        seen.peer.content,
        frozenset(requested),
        frozenset(denied),
        (seen.capability or "").encode(),
        (seen.family or "").encode(),
        (seen.socket_type or "").encode(),
        str(seen.protocol).encode() if seen.protocol is not None else b"",
        SIGNALS[seen.signal] if seen.signal is not None else b"",
        seen.target.content if mount else b"",
        seen.file_system.content,
        seen.info.content,
    )
