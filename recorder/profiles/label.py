"""Names of Kubernetes objects: a DNS label from a command, and what a name may be."""

import re

__all__ = ["FALLBACK", "MAX_LABEL", "dns_label", "is_object_name"]

MAX_LABEL = 63
"""RFC 1123: octets in a label."""
FALLBACK = "profile"
"""The label of a command whose name has no letter and no digit."""

_MAX_NAME = 253
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def dns_label(command: str) -> str:
    """Return a DNS label for a command's base name: `/bin/Redis_Server.2` gives `redis-server-2`.

    Lower case; each run of other characters becomes one hyphen, none at an end;
    cut to 63. `profile` if nothing is left.
    """
    base = command.rstrip("/").rsplit("/", 1)[-1]
    label = re.sub(r"[^a-z0-9]+", "-", base.lower()).strip("-")
    return label[:MAX_LABEL].rstrip("-") or FALLBACK


def is_object_name(name: str) -> bool:
    """Whether Kubernetes takes it as an object's name (RFC 1123 subdomain, at most 253)."""
    return len(name) <= _MAX_NAME and _SUBDOMAIN.fullmatch(name) is not None
