"""Denials of AppArmor and SELinux as protobuf messages. What is read is checked: others wrote it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from recorder.model.denial import (
    MAX_DENIALS,
    AppArmorDenial,
    DenialCount,
    DenialKey,
    SelinuxDenial,
    Sighting,
    Text,
)
from recorder.model.errors import InvalidRecord
from recorder.model.first_sight import MAX_COMM
from recorder.record.v1 import record_pb2 as pb

__all__ = ["MAX_TEXT", "from_denials", "to_denials"]

MAX_TEXT = 4096
"""Bytes of one text: the kernel's PATH_MAX."""
MAX_WORD = 256
"""Characters of an operation, a class, a permission."""
MAX_WORDS = 64
"""As many as a mask has bits, and more."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


def to_denials(denials: Mapping[DenialKey, DenialCount]) -> list[pb.Denial]:
    """In their order. ValueError for what the message has no room for."""
    return [_message(key, count) for key, count in denials.items()]


def _message(key: DenialKey, count: DenialCount) -> pb.Denial:
    details = key.details
    return pb.Denial(
        verdict=key.verdict,
        apparmor=_apparmor_message(details) if isinstance(details, AppArmorDenial) else None,
        selinux=_selinux_message(details) if isinstance(details, SelinuxDenial) else None,
        count=count.count,
        first=_sighting_message(count.first),
        last=_sighting_message(count.last),
        lacks=sorted(count.lacks),
    )


def _sighting_message(sighting: Sighting) -> pb.Sighting:
    return pb.Sighting(time_ns=sighting.time_ns, pid=sighting.pid, comm=sighting.comm)


def _text_message(text: Text) -> pb.Text | None:
    if not text.content and not text.length:
        return None
    return pb.Text(content=text.content, length=text.length if text.cut else 0)


def _apparmor_message(details: AppArmorDenial) -> pb.AppArmorDenial:
    return pb.AppArmorDenial(
        operation=details.operation,
        object_class=details.object_class,
        profile=_text_message(details.profile),
        namespace=_text_message(details.namespace),
        complain=details.complain,
        requested=details.requested,
        denied=details.denied,
        name=_text_message(details.name),
        target=_text_message(details.target),
        peer=_text_message(details.peer),
        info=_text_message(details.info),
        error=details.error,
        capability=details.capability,
        family=details.family,
        socket_type=details.socket_type,
        protocol=details.protocol,
        port=details.port,
        signal=details.signal,
        limit=details.limit,
        file_system=_text_message(details.file_system),
        mount_flags=details.mount_flags,
        owner=details.owner,
    )


def _selinux_message(details: SelinuxDenial) -> pb.SelinuxDenial:
    return pb.SelinuxDenial(
        source=_text_message(details.source),
        target=_text_message(details.target),
        object_class=details.object_class,
        permissions=details.permissions,
        permissive=details.permissive,
        name=_text_message(details.name),
        capability=details.capability,
        family=details.family,
        port=details.port,
    )


def from_denials(path: str, messages: Sequence[pb.Denial]) -> dict[DenialKey, DenialCount]:
    """By their keys, those that are said twice joined. InvalidRecord, with the path of what is wrong.

    More than `MAX_DENIALS` are refused: no record has them.
    """
    if len(messages) > MAX_DENIALS:
        raise InvalidRecord(f"{path}.denials has {len(messages)} entries; at most {MAX_DENIALS} are allowed")
    denials: dict[DenialKey, DenialCount] = {}
    for index, message in enumerate(messages):
        try:
            key, count = _key(message), _count(message)
        except ValueError as error:
            raise InvalidRecord(f"{path}.denials[{index}].{error}") from error
        known = denials.get(key)
        denials[key] = known.join(count) if known else count
    return denials


def _key(message: pb.Denial) -> DenialKey:
    verdict = _name("verdict", message.verdict)
    match message.WhichOneof("details"):
        case "apparmor":
            return DenialKey(verdict, _apparmor(message.apparmor))
        case "selinux":
            return DenialKey(verdict, _selinux(message.selinux))
        case _:
            return DenialKey(verdict, None)


def _count(message: pb.Denial) -> DenialCount:
    if len(message.lacks) > MAX_WORDS:
        raise ValueError(f"lacks has {len(message.lacks)} entries; at most {MAX_WORDS} are allowed")
    return DenialCount(
        message.count,
        _sighting("first", message.first),
        _sighting("last", message.last),
        frozenset(_name("lacks", each) for each in message.lacks),
    )


def _sighting(where: str, message: pb.Sighting) -> Sighting:
    if len(message.comm) > MAX_COMM or b"\0" in message.comm:
        raise ValueError(
            f"{where}.comm is {message.comm[:64]!r}; at most {MAX_COMM} bytes without NUL are allowed"
        )
    return Sighting(message.time_ns, message.pid, message.comm)


def _name(where: str, text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{where} is {text[:64]!r}; expected are 1 to 64 lower-case letters, digits and _")
    return text


def _text(where: str, message: pb.Text) -> Text:
    content = message.content
    if len(content) > MAX_TEXT or b"\0" in content:
        raise ValueError(f"{where} has {len(content)} bytes; at most {MAX_TEXT} without NUL are allowed")
    if message.length and message.length <= len(content):
        raise ValueError(f"{where}.length is {message.length}, and content has {len(content)} bytes")
    return Text(content, message.length or len(content))


def _word(where: str, text: str) -> str:
    if len(text) > MAX_WORD:
        raise ValueError(f"{where} has {len(text)} characters; at most {MAX_WORD} are allowed")
    return text


def _words(where: str, texts: Iterable[str]) -> tuple[str, ...]:
    words = tuple(_word(where, each) for each in texts)
    if len(words) > MAX_WORDS:
        raise ValueError(f"{where} has {len(words)} entries; at most {MAX_WORDS} are allowed")
    return words


def _apparmor(message: pb.AppArmorDenial) -> AppArmorDenial:
    at = "apparmor."
    return AppArmorDenial(
        operation=_word(f"{at}operation", message.operation),
        object_class=_word(f"{at}object_class", message.object_class),
        profile=_text(f"{at}profile", message.profile),
        namespace=_text(f"{at}namespace", message.namespace),
        complain=message.complain,
        requested=_words(f"{at}requested", message.requested),
        denied=_words(f"{at}denied", message.denied),
        name=_text(f"{at}name", message.name),
        target=_text(f"{at}target", message.target),
        peer=_text(f"{at}peer", message.peer),
        info=_text(f"{at}info", message.info),
        error=message.error,
        capability=_word(f"{at}capability", message.capability) if message.HasField("capability") else None,
        family=_word(f"{at}family", message.family) if message.HasField("family") else None,
        socket_type=_word(f"{at}socket_type", message.socket_type)
        if message.HasField("socket_type")
        else None,
        protocol=message.protocol if message.HasField("protocol") else None,
        port=message.port if message.HasField("port") else None,
        signal=message.signal if message.HasField("signal") else None,
        limit=message.limit if message.HasField("limit") else None,
        file_system=_text(f"{at}file_system", message.file_system),
        mount_flags=message.mount_flags if message.HasField("mount_flags") else None,
        owner=message.owner if message.HasField("owner") else None,
    )


def _selinux(message: pb.SelinuxDenial) -> SelinuxDenial:
    at = "selinux."
    return SelinuxDenial(
        source=_text(f"{at}source", message.source),
        target=_text(f"{at}target", message.target),
        object_class=_word(f"{at}object_class", message.object_class),
        permissions=_words(f"{at}permissions", message.permissions),
        permissive=message.permissive,
        name=_text(f"{at}name", message.name),
        capability=_word(f"{at}capability", message.capability) if message.HasField("capability") else None,
        family=_word(f"{at}family", message.family) if message.HasField("family") else None,
        port=message.port if message.HasField("port") else None,
    )
