"""Audit records of AppArmor and SELinux (AUDIT_AVC), as values. Pure.

Their text is what security/apparmor/audit.c, security/selinux/avc.c and security/lsm_audit.c write:
`audit(SECONDS.MILLISECONDS:SERIAL): KEY=VALUE ...`. A value from elsewhere is quoted, or hex where it
holds a quote, a space or what is not printable (audit_log_untrustedstring), so none can fake a field.
"""

from __future__ import annotations

import hashlib
import re
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from recorder.kernel import denials_names as names
from recorder.kernel.denials_layout import Entry
from recorder.model.denial import AppArmorDenial, SelinuxDenial, Text, Verdict
from recorder.model.kernel_names import SIGNALS

AUDIT_AVC = 1400

_HEAD = re.compile(rb"audit\((\d+)\.(\d{3}):(\d+)\): ")
_FIELD = re.compile(rb'([A-Za-z_]+)=("[^"]*"|[^ ]*)')
_DECISION = re.compile(rb"avc: +(denied|granted) +\{ ([^}]*)\} for ")
_UNTRUSTED = frozenset(
    [b"profile", b"name", b"target", b"comm", b"peer", b"srcname", b"namespace", b"path", b"dev", b"fstype"]
)
_HEX = re.compile(rb"(?:[0-9A-F]{2})+")

_VERDICTS = {
    b"DENIED": Verdict.DENIED,
    b"ALLOWED": Verdict.ALLOWED,
    b"AUDIT": Verdict.AUDITED,
    b"KILLED": Verdict.KILLED,
}
# security/apparmor/file.c, aa_file_perm_chrs: setattr, chmod and chown are written as `w`, getattr as `r`
_LETTERS = {
    "x": "exec",
    "w": "write",
    "r": "read",
    "a": "append",
    "c": "create",
    "d": "delete",
    "l": "link",
    "k": "lock",
    "m": "mmap",
}
# aa_class_names (security/apparmor/audit.c) where they are other words than those of entries
_CLASSES = {"cap": "capability", "lsm": "display_lsm", "X": "x", "unknown": ""}
_SIGNALS = {name: number for number, name in enumerate(SIGNALS)}
_SHORT = 32  # the least room that a text has in an entry
_MOUNTS = frozenset(["mount", "umount", "pivotroot"])


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One denial, and which task it was. wall_ns: Unix time; pid: of the thread group.

    behind: a digest of long texts, by which two that differ behind the cut are told apart; else empty.
    """

    verdict: Verdict
    details: AppArmorDenial | SelinuxDenial
    wall_ns: int
    serial: int
    pid: int
    comm: bytes
    behind: bytes = b""


def audit_record(text: bytes) -> AuditRecord | None:
    """What a record of type AUDIT_AVC says; None if it is none of these modules', or cannot be read."""
    head = _HEAD.match(text)
    if head is None:
        return None
    rest = text[head.end() :].rstrip(b"\0\n ")
    decision = _DECISION.match(rest)
    fields = {key.decode(): _value(key, value) for key, value in _FIELD.findall(rest)}
    details: AppArmorDenial | SelinuxDenial
    try:
        if decision is not None:
            verdict, details = _selinux(decision[1], decision[2].split(), fields)
        elif "apparmor" in fields:
            verdict, details = _apparmor(fields)
        else:
            return None
        pid = int(fields.get("pid", b"0"))
    except ValueError:
        return None
    return AuditRecord(
        verdict=verdict,
        details=details,
        wall_ns=int(head[1]) * 10**9 + int(head[2]) * 10**6,
        serial=int(head[3]),
        pid=pid,
        comm=fields.get("comm", b""),
        behind=_behind(fields),
    )


def _behind(fields: Mapping[str, bytes]) -> bytes:
    long = [value for value in fields.values() if len(value) > _SHORT]
    return hashlib.blake2b(b"\0".join(long), digest_size=16).digest() if long else b""


def _value(key: bytes, value: bytes) -> bytes:
    if value.startswith(b'"'):
        return value[1:-1]
    if key in _UNTRUSTED and _HEX.fullmatch(value):
        return bytes.fromhex(value.decode())
    return value


def _text(fields: Mapping[str, bytes], key: str, room: str) -> Text:
    """Cut as an entry of the kernel side would be, which has as much room."""
    content = fields.get(key, b"")
    return Text(content[: getattr(Entry, room).size], len(content))


def _word(fields: Mapping[str, bytes], key: str) -> str:
    return fields.get(key, b"").decode(errors="backslashreplace")


def _number(fields: Mapping[str, bytes], *keys: str) -> int | None:
    return next((int(fields[key]) for key in keys if key in fields), None)


def _mask(fields: Mapping[str, bytes], which: str, *, letters: bool) -> tuple[str, ...]:
    # newer kernels write those of a socket without `_mask`
    text = _word(fields, f"{which}_mask") or _word(fields, which)
    return tuple(_LETTERS.get(letter, letter) for letter in text) if letters else tuple(text.split())


def _class(fields: Mapping[str, bytes]) -> str:
    """AppArmor's word; kernels before 6.4 do not write it, and what else is there tells it."""
    operation = _word(fields, "operation")
    if written := _word(fields, "class"):
        return _CLASSES.get(written, written)
    for key, found in (
        ("capname", "capability"),
        ("family", "net"),
        ("signal", "signal"),
        ("rlimit", "rlimits"),
    ):
        if key in fields:
            return found
    if operation == "ptrace":
        return "ptrace"
    if operation in _MOUNTS:
        return "mount"
    return "file" if "requested_mask" in fields else ""


def _signal(fields: Mapping[str, bytes]) -> int | None:
    word = _word(fields, "signal")
    if word.startswith("rtmin+"):
        return len(SIGNALS) + int(word[6:])
    return _SIGNALS.get(word)


def _limit(fields: Mapping[str, bytes]) -> int | None:
    found: int | None = getattr(resource, f"RLIMIT_{_word(fields, 'rlimit').upper()}", None)
    return found


def _apparmor(fields: Mapping[str, bytes]) -> tuple[Verdict, AppArmorDenial]:
    kind = _class(fields)
    mount, network = kind == "mount", "family" in fields
    letters = kind in ("file", "posix_mqueue")
    peer = _text(fields, "peer", "peer")
    return _VERDICTS.get(fields["apparmor"], Verdict.OTHER), AppArmorDenial(
        operation=_word(fields, "operation"),
        object_class=kind,
        profile=_text(fields, "profile", "subject"),
        namespace=_text(fields, "namespace", "space"),
        complain=fields["apparmor"] == b"ALLOWED",
        requested=_mask(fields, "requested", letters=letters),
        denied=_mask(fields, "denied", letters=letters),
        name=_text(fields, "name", "name"),
        target=_text(fields, "srcname" if mount else "target", "target"),
        peer=Text() if mount else peer,
        info=_text(fields, "info", "info"),
        error=_number(fields, "error") or 0,
        capability=_word(fields, "capname") or None,
        family=_word(fields, "family") if network else None,
        socket_type=_word(fields, "sock_type") if network else None,
        protocol=_number(fields, "protocol") if network else None,
        port=_number(fields, "fport", "lport", "dest", "src") if network else None,
        signal=_signal(fields),
        limit=_limit(fields),
        file_system=_text(fields, "fstype", "peer") if mount else Text(),
        owner=_number(fields, "ouid") if kind == "file" else None,
    )


def _selinux(
    decision: bytes, permissions: Iterable[bytes], fields: Mapping[str, bytes]
) -> tuple[Verdict, SelinuxDenial]:
    permissive = fields.get("permissive") == b"1"
    verdict = Verdict.ALLOWED if permissive else Verdict.DENIED
    number = _number(fields, "capability")
    return Verdict.AUDITED if decision == b"granted" else verdict, SelinuxDenial(
        source=_text(fields, "scontext", "subject"),
        target=_text(fields, "tcontext", "peer"),
        object_class=_word(fields, "tclass"),
        permissions=tuple(each.decode(errors="backslashreplace") for each in permissions),
        permissive=permissive,
        name=_text(fields, "path" if "path" in fields else "name", "name"),
        capability=None if number is None else names.numbered(number, names.CAPABILITIES),
        port=_number(fields, "dest", "src"),
    )
