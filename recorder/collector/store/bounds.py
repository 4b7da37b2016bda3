"""The store's bounds, and its figures against them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["StoreBounds", "StoreFigures"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreBounds:
    """What the store may take.

    bytes: of the file, without its write-ahead log. sightings: that are open, which means with a
    content of their own, neither folded nor emptied. node_accesses: bytes of one node's accesses, all
    its sightings together. node_sightings: sightings of one node that are open, so that no
    node can take everybody's room. ValueError below 1 MiB, or 1.
    """

    bytes: int = 2048 * MIB
    sightings: int = 200_000
    node_sightings: int = 10_000
    node_accesses: int = 256 * MIB

    def __post_init__(self) -> None:
        if self.bytes < MIB:
            raise ValueError(f"bytes is {self.bytes}; a store takes at least {MIB}")
        for name in ("sightings", "node_sightings", "node_accesses"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class StoreFigures:
    """What is in the store now, for metrics and people.

    bytes: in use in the file. log_bytes: of the write-ahead log. confirmations: open sightings by
    confirmation. unemitted: sightings that a result may lack. oldest_unemitted: the lowest revision of
    those, 0 without. full: why the last write found no room; empty: it found some, or there was none yet.
    folded_sources: late reports of these change nothing. emptied: refused sightings without content.
    """

    bytes: int
    log_bytes: int
    bounds: StoreBounds
    revision: int
    recordings: int
    results: int
    open: int
    running: int
    folded: int
    folded_sources: int
    emptied: int
    unemitted: int
    oldest_unemitted: int
    full: str = ""
    confirmations: Mapping[str, int] = field(default_factory=dict, hash=False)
