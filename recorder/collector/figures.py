"""What the collector's service counts, for metrics and people."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from recorder.collector.agents.node_abilities import UNKNOWN, NodeAbilities

__all__ = ["ConnectedAgent", "ServiceFigures"]


@dataclass(frozen=True, slots=True)
class ConnectedAgent:
    """An agent whose stream stands. `local`: it came by the Unix socket."""

    node: str
    boot_id: str
    recorder_version: str
    kernel_release: str
    machine: str
    loader: str
    runtimes: tuple[str, ...]
    local: bool = False
    abilities: NodeAbilities = UNKNOWN


@dataclass(slots=True)
class ServiceFigures:
    """Counters since the start, and what is so now. All are written in the event loop.

    agents: streams that stand. streams: all that began. ended: by why, those that were refused included.
    reports: that came; stored; refused by reason; bytes of all that came. pending, pending_bytes: that
    came and are not stored yet. batches: commits. full: why the store takes nothing now, else empty;
    full_since: of the monotonic clock, 0 while it takes. stalls: attempts to store that found no room.
    held: reports that were not acknowledged since the store keeps no more of their node.
    plan_*: the plan that agents are sent now; left_out: recordings that have no room in it.
    reviews: questions to the platform's authority by answer; watches: that stand.
    enrolments: requests for a node's certificate by what became of them. server_ends, authority_ends: of
    the collector's own certificate and its CA, in Unix time, 0 without; identity_problem: why they are
    not renewed.
    """

    agents: int = 0
    streams: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    reports: int = 0
    report_bytes: int = 0
    stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    pending_bytes: int = 0
    batches: int = 0
    full: str = ""
    full_since: float = 0.0
    stalls: int = 0
    held: int = 0
    plan_revision: str = ""
    plan_recordings: int = 0
    plan_bytes: int = 0
    left_out: int = 0
    reviews: Counter[str] = field(default_factory=Counter)
    enrolments: Counter[str] = field(default_factory=Counter)
    server_ends: float = 0.0
    authority_ends: float = 0.0
    identity_problem: str = ""
    watches: int = 0
