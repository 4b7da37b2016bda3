"""A database file that others write, as it is read: by offset, and never trusted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Damaged", "Read"]

Read: TypeAlias = "Callable[[int, int], bytes]"
"""Bytes from an offset, so many at most: fewer at the end of the file, none where it cannot be."""


class Damaged(Exception):  # noqa: N818 -- of a file, or of the moment: never leaves containers
    """It is no such database, or it is being written."""
