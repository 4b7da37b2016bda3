"""Text that others chose (names, labels, comm) made fit for a terminal: it is data, and shows what it is.

A terminal obeys control sequences, and bidirectional controls reorder what stands around
them (Unicode Technical Report 36); neither may come from a container.
"""

from __future__ import annotations

__all__ = ["MAX_SHOWN", "escape", "escape_bytes"]

MAX_SHOWN = 253
"""Characters of one text that are shown: the longest name of a Kubernetes object."""

_MORE = "…"
_RAW_BYTES = range(0xDC80, 0xDD00)
"""What os.fsdecode makes of bytes that are no UTF-8 (PEP 383)."""


def escape(text: str, limit: int = MAX_SHOWN) -> str:
    r"""Return the text with all that does not print as itself as \xNN, \uNNNN or \UNNNNNNNN.

    A backslash is doubled, so that no two texts look the same. Of a text longer than
    `limit` characters the beginning is kept, with an ellipsis.
    """
    shown = "".join(map(_escaped, text[:limit]))
    return shown + _MORE if len(text) > limit else shown


def escape_bytes(content: bytes, limit: int = MAX_SHOWN) -> str:
    r"""Return what `escape` gives for bytes as UTF-8; those that are none as \xNN."""
    return escape(content.decode("utf-8", "surrogateescape"), limit)


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if code in _RAW_BYTES:
        code -= 0xDC00
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
