"""The token that a client shows with a call (RFC 6750, 2.1)."""

from __future__ import annotations

from typing import Any

__all__ = ["token_of"]


def token_of(metadata: Any) -> str:
    """The bearer's token in a call's metadata; empty if there is none."""
    for key, value in metadata or ():
        if key == "authorization" and isinstance(value, str):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer":
                return token.strip()
    return ""
