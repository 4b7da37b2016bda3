"""The store's figures, counted where they stand."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import Connection, and_, func, select

from recorder.collector.store import sqlite
from recorder.collector.store.bounds import StoreBounds, StoreFigures
from recorder.collector.store.session import Session
from recorder.collector.store.tables import RECORDING, RESULT, SIGHTING, SOUGHT, State

__all__ = ["figures_of"]


def figures_of(connection: Connection, session: Session, bounds: StoreBounds, full: str) -> StoreFigures:
    """By statements within a transaction that is open."""
    runs = and_(~SIGHTING.c.ended, SIGHTING.c.not_recorded == "")  # of what is not recorded no end is told
    columns = SIGHTING.c.state, runs, SIGHTING.c.confirmation
    query = select(*columns, func.count(), func.sum(SIGHTING.c.sources)).group_by(*columns)
    states: Counter[int] = Counter()
    sources: Counter[int] = Counter()
    confirmations: Counter[str] = Counter()
    running = 0
    for state, runs_now, confirmation, count, sum_of_sources in connection.execute(query):
        states[state] += count
        sources[state] += sum_of_sources
        if state == State.OPEN:
            confirmations[confirmation] += count
            running += count if runs_now else 0
    waiting = (
        select(SIGHTING.c.id, SIGHTING.c.revision)
        .select_from(SIGHTING)
        .join(SOUGHT, SOUGHT.c.sighting_id == SIGHTING.c.id)
        .outerjoin(RECORDING, RECORDING.c.id == SOUGHT.c.recording)
        .where(SOUGHT.c.granted, SIGHTING.c.revision > func.coalesce(RECORDING.c.emitted, 0))
        .distinct()
        .subquery()
    )
    unemitted, oldest = connection.execute(
        select(func.count(), func.min(waiting.c.revision)).select_from(waiting)
    ).one()
    return StoreFigures(
        bytes=sqlite.in_use(connection),
        log_bytes=sqlite.log_bytes(session.path),
        bounds=bounds,
        revision=session.revision,
        recordings=connection.execute(select(func.count()).select_from(RECORDING)).scalar_one(),
        results=connection.execute(select(func.count()).select_from(RESULT)).scalar_one(),
        open=states[State.OPEN],
        running=running,
        folded=states[State.FOLDED] + states[State.BARE],
        folded_sources=sources[State.FOLDED] + sources[State.BARE],
        emptied=states[State.EMPTIED],
        unemitted=unemitted,
        oldest_unemitted=oldest or 0,
        full=full,
        confirmations=dict(sorted(confirmations.items())),
    )
