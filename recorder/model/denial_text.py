r"""Denials for people and for programs: words and one line of text, and an object for JSON.

What the kernel names by bytes is data that a container chose. For people all that does not print as
itself, and every space, is escaped (`\x20`), so that a name never breaks a line, a column or a label. One
that is too long to be shown, or whose end was not kept, ends in an ellipsis and its length. In JSON it has
all that was kept: as text, and also in base64 where it is no UTF-8.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from recorder.model.abi import Abi
from recorder.model.denial import AppArmorDenial, SelinuxDenial, Text
from recorder.model.escape import escape, escape_bytes
from recorder.model.syscall import syscall_name

__all__ = [
    "APPARMOR",
    "REST",
    "SECCOMP",
    "SELINUX",
    "DenialText",
    "denial_object",
    "denial_text",
    "denied_call_object",
    "denied_call_text",
    "json_text",
    "line",
    "shown",
]

APPARMOR: Final = "apparmor"
SELINUX: Final = "selinux"
SECCOMP: Final = "seccomp"
REST: Final = "rest"
"""The kind and the verdict of those of which only the number is known."""

_MAX_WORD: Final = 64
_MAX_NAME: Final = 253
_MAX_ACTION: Final = 253
Details = AppArmorDenial | SelinuxDenial | None


@dataclass(frozen=True, slots=True)
class DenialText:
    """What is to be said of a denial. All texts are escaped, and bounded.

    kind: apparmor, selinux, seccomp, rest. object_class: what was acted on, such as `file`; a
    system call's name. action: the operation, or the permissions. object: which one: a path, a
    capability, a peer; may be empty. subject: the profile, or the context of the task. notes: what is
    not known of it.
    """

    kind: str
    verdict: str
    object_class: str
    action: str
    object: str = ""
    subject: str = ""
    notes: tuple[str, ...] = ()


def shown(text: Text) -> str:
    """A name of the kernel's as one word; with its length in bytes if not all of it is there."""
    characters = text.content.decode("utf-8", "surrogateescape")
    word = _word(escape(characters[:_MAX_NAME]))
    if not text.cut and len(characters) <= _MAX_NAME:
        return word
    return f"{word}…[{max(text.length, len(text.content))}B]"


def denial_text(verdict: str, details: Details, lacks: Collection[str] = ()) -> DenialText:
    """What AppArmor or SELinux denied, or would have; without details: the rest, that is only counted."""
    notes = tuple(f"{_shown_word(each)}" for each in sorted(lacks))
    said = _shown_word(verdict)
    match details:
        case AppArmorDenial():
            return _apparmor(said, details, notes)
        case SelinuxDenial():
            return _selinux(said, details, notes)
        case _:
            return DenialText(REST, said, REST, "more-than-are-kept", notes=notes)


def denied_call_text(abi: int, number: int) -> DenialText:
    """What a seccomp filter denied."""
    name = syscall_name(abi, number) or f"#{number}"
    return DenialText(SECCOMP, "denied", name, name, _abi(abi))


def line(text: DenialText, *, count: int = 0, comm: bytes = b"") -> str:
    """One line, such as `apparmor denied open(write) /etc/shadow of docker-default, 3 times, by cat`.

    count: how often it came, 0 if nobody counted; comm: of a task that was denied it.
    """
    words = [text.kind, text.verdict, text.action, text.object]
    parts = [" ".join(filter(None, words)) + (f" of {text.subject}" if text.subject else "")]
    if count:
        parts.append("once" if count == 1 else f"{count} times")
    if comm:
        parts.append(f"by {_word(escape_bytes(comm))}")
    return ", ".join(parts) + (f" ({', '.join(text.notes)})" if text.notes else "")


def denial_object(verdict: str, details: Details, lacks: Collection[str] = ()) -> dict[str, Any]:
    r"""The same for a program: what there is of it, under the names of the fields as JSON has them.

    Of a name whose end is missing `NAMELength` has the bytes that it had; where it is no UTF-8 the text
    has `\xNN` for what is not, and `NAMEBase64` has it as it was.
    """
    kind = {AppArmorDenial: APPARMOR, SelinuxDenial: SELINUX}.get(type(details), REST)
    found: dict[str, Any] = {"kind": kind, "verdict": str(verdict)}
    for field in fields(details) if details else ():
        found.update(_entries(_camel(field.name), getattr(details, field.name)))
    if lacks:
        found["lacks"] = sorted(map(str, lacks))
    return found


def denied_call_object(abi: int, number: int) -> dict[str, Any]:
    """A denied call for a program; without a name where there is none."""
    name = syscall_name(abi, number)
    return {
        "kind": SECCOMP,
        "verdict": "denied",
        "abi": _abi(abi),
        "number": number,
        **({"syscall": name} if name else {}),
    }


def json_text(value: Mapping[str, Any]) -> str:
    """An object as one line of ASCII without controls, keys sorted."""
    return json.dumps(value, sort_keys=True).replace("\x7f", "\\u007f")


def _apparmor(verdict: str, details: AppArmorDenial, notes: tuple[str, ...]) -> DenialText:
    masks = details.denied or details.requested
    operation = _shown_word(details.operation) or "-"
    subject = shown(details.profile)
    if details.namespace.content:
        subject = f":{shown(details.namespace)}:{subject}"
    info = (shown(details.info),) if details.info.content else ()
    return DenialText(
        APPARMOR,
        verdict,
        _shown_word(details.object_class),
        _action(operation, masks),
        " ".join(_apparmor_object(details)),
        subject,
        (*info, *notes),
    )


def _apparmor_object(details: AppArmorDenial) -> Iterator[str]:
    if details.capability is not None:
        yield _shown_word(details.capability)
    yield from _socket(details.family, details.socket_type, details.port)
    if details.name.content:
        yield shown(details.name)
    if details.target.content:
        yield f"-> {shown(details.target)}"
    if details.file_system.content:
        yield f"type={shown(details.file_system)}"
    if details.signal is not None:
        yield f"signal={details.signal}"
    if details.limit is not None:
        yield f"limit={details.limit}"
    if details.peer.content:
        yield f"peer={shown(details.peer)}"


def _selinux(verdict: str, details: SelinuxDenial, notes: tuple[str, ...]) -> DenialText:
    kind = _shown_word(details.object_class)
    named = [shown(details.name)] if details.name.content else []
    capability = [] if details.capability is None else [_shown_word(details.capability)]
    return DenialText(
        SELINUX,
        verdict,
        kind,
        _action(kind, details.permissions),
        " ".join(
            [
                *capability,
                *_socket(details.family, None, details.port),
                *named,
                f"tcontext={shown(details.target)}",
            ]
        ),
        shown(details.source),
        notes,
    )


def _action(name: str, words: Collection[str]) -> str:
    whole = f"{name}({','.join(map(_shown_word, words))})" if words else name
    return whole if len(whole) <= _MAX_ACTION else f"{whole[: _MAX_ACTION - 1]}…"


def _socket(family: str | None, kind: str | None, port: int | None) -> Iterator[str]:
    yield from (_shown_word(each) for each in (family, kind) if each is not None)
    if port is not None:
        yield f"port={port}"


def _shown_word(text: str) -> str:
    return _word(escape(str(text), _MAX_WORD))


def _word(escaped: str) -> str:
    return escaped.replace(" ", "\\x20")


def _abi(abi: int) -> str:
    return Abi(abi).label if abi in Abi.__members__.values() else f"abi{abi}"


def _entries(name: str, value: object) -> Iterator[tuple[str, Any]]:
    match value:
        case None | "" | ():
            return
        case Text():
            yield from _text_entries(name, value)
        case tuple():
            yield name, [str(each) for each in value]
        case _:
            yield name, value


def _text_entries(name: str, text: Text) -> Iterator[tuple[str, Any]]:
    if not text.content and not text.cut:
        return
    try:
        yield name, text.content.decode()
    except UnicodeDecodeError:
        yield name, text.content.decode("utf-8", "backslashreplace")
        yield f"{name}Base64", base64.b64encode(text.content).decode()
    if text.cut:
        yield f"{name}Length", text.length


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
