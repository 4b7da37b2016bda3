"""What names may look like: of Kubernetes, of systemd, of containers; and how a text of others is shown."""

from __future__ import annotations

import re

__all__ = ["is_container", "is_label", "is_subdomain", "is_unit", "shown"]

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,252}", re.ASCII)
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,246}\.(service|scope|slice|socket|mount|swap)", re.ASCII)

_SHOWN = 60


def is_label(text: str) -> bool:
    """A DNS label (RFC 1123): a namespace's name, or that of a container in its pod."""
    return bool(_LABEL.fullmatch(text))


def is_subdomain(text: str) -> bool:
    """DNS labels with dots between them, 253 characters at most: a pod's name."""
    return len(text) <= 253 and all(map(is_label, text.split(".")))


def is_container(text: str) -> bool:
    """A container's id or name as Docker, Podman and containerd take it; 253 characters at most."""
    return bool(_CONTAINER.fullmatch(text))


def is_unit(text: str) -> bool:
    """A systemd unit's name with its type, of those types that have a cgroup; 255 characters at most."""
    return len(text) <= 255 and bool(_UNIT.fullmatch(text))


def shown(value: object) -> str:
    """A value that somebody else chose, for a message: quoted, escaped to ASCII, and cut."""
    text = ascii(value[: _SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= _SHOWN + 2 else f"{text[:_SHOWN]}..."
