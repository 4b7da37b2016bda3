"""Entries of shared memory as values. Pure."""

from __future__ import annotations

from recorder.kernel import denials_names as names
from recorder.kernel.denials_layout import Entry, Flag, Kind, Module, Text, What
from recorder.model import denial as model
from recorder.model.denial import AppArmorDenial, Denial, Lack, SelinuxDenial, Sighting, Verdict

# include/linux/lsm_audit.h
_DATA_NET, _DATA_CAPABILITY = 2, 3
_COMPLAIN = 1  # enum profile_mode (security/apparmor/include/policy.h)

_VERDICTS = {
    Kind.KIND_AUDIT: Verdict.AUDITED,
    Kind.KIND_ALLOWED: Verdict.ALLOWED,
    Kind.KIND_DENIED: Verdict.DENIED,
    Kind.KIND_KILL: Verdict.KILLED,
    Kind.KIND_GRANTED: Verdict.AUDITED,
    Kind.KIND_REST: Verdict.REST,
}
_LACKS = {
    Flag.FLAG_UNREADABLE: Lack.UNREADABLE,
    Flag.FLAG_CLASS_UNKNOWN: Lack.CLASS_UNKNOWN,
    Flag.FLAG_OBJECT_MISSING: Lack.OBJECT_MISSING,
    Flag.FLAG_PATH_CUT: Lack.PATH_CUT,
}


def denial_of(entry: Entry) -> Denial:
    """What an entry that is ready says."""
    what: What = entry.what
    verdict = _VERDICTS.get(what.kind, Verdict.OTHER)
    details: AppArmorDenial | SelinuxDenial | None = None
    if verdict is not Verdict.REST:
        details = _apparmor(entry) if what.module == Module.MODULE_APPARMOR else _selinux(entry)
    return Denial(
        cgroup_id=entry.cgroup_id,
        verdict=verdict,
        details=details,
        count=entry.count,
        first=Sighting(entry.first_ns, entry.first_pid, entry.first_comm),
        last=Sighting(entry.last_ns, entry.last_pid, entry.last_comm),
        lacks=frozenset(lack for flag, lack in _LACKS.items() if what.flags & flag),
    )


def _text(entry: Entry, field: str, place: Text) -> model.Text:
    size = getattr(Entry, field).size
    length = entry.length[place]
    start = getattr(Entry, field).offset
    kept = min(length, size)
    return model.Text(bytes(memoryview(entry).cast("B")[start : start + kept]), length)


def _word(entry: Entry, field: str, place: Text) -> str:
    """A name that the kernel or its policy has; one with other bytes than text has them as backslashes."""
    return _text(entry, field, place).content.decode(errors="backslashreplace")


def _apparmor(entry: Entry) -> AppArmorDenial:
    what: What = entry.what
    kind = what.object_class
    if kind == 0 and what.object_kind == _DATA_CAPABILITY:
        kind = names.CAPABILITY
    network = kind in names.NETWORKS
    mount = kind == names.MOUNT
    peer = _text(entry, "peer", Text.TEXT_PEER)
    capability = kind == names.CAPABILITY
    meaning = names.class_bits(kind)
    return AppArmorDenial(
        operation=_word(entry, "operation", Text.TEXT_OPERATION),
        object_class=names.numbered(kind, names.CLASSES) if kind else "",
        profile=_text(entry, "subject", Text.TEXT_SUBJECT),
        namespace=_text(entry, "space", Text.TEXT_SPACE),
        complain=what.mode == _COMPLAIN,
        requested=names.bits(what.requested, meaning),
        denied=names.bits(what.denied, meaning),
        name=_text(entry, "name", Text.TEXT_NAME),
        target=_text(entry, "target", Text.TEXT_TARGET),
        peer=model.Text() if mount else peer,
        info=_text(entry, "info", Text.TEXT_INFO),
        error=what.error,
        capability=names.numbered(what.capability, names.CAPABILITIES) if capability else None,
        family=names.numbered(what.family, names.FAMILIES) if network else None,
        socket_type=names.numbered(what.socket_type, names.SOCKET_TYPES) if network else None,
        protocol=what.protocol if network else None,
        port=(what.port or None) if network else None,
        signal=what.unmapped_signal if kind == names.SIGNAL else None,
        limit=what.limit if kind == names.RLIMITS else None,
        file_system=peer if mount else model.Text(),
        mount_flags=what.mount_flags if mount else None,
        owner=what.owner if kind == names.FILE else None,
    )


def _selinux(entry: Entry) -> SelinuxDenial:
    what: What = entry.what
    network = what.object_kind == _DATA_NET
    capability = what.object_kind == _DATA_CAPABILITY
    return SelinuxDenial(
        source=_text(entry, "subject", Text.TEXT_SUBJECT),
        target=_text(entry, "peer", Text.TEXT_PEER),
        object_class=_word(entry, "operation", Text.TEXT_OPERATION),
        permissions=tuple(_word(entry, "info", Text.TEXT_INFO).split()),
        permissive=bool(what.mode),
        name=_text(entry, "name", Text.TEXT_NAME),
        capability=names.numbered(what.capability, names.CAPABILITIES) if capability else None,
        family=names.numbered(what.family, names.FAMILIES) if network else None,
        port=(what.port or None) if network else None,
    )
