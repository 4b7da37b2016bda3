"""Sightings are read in pages, and what is folded between two of them is in none or in both."""

import asyncio

from recorder.collector.results import group_reader
from recorder.collector.results.drafts import CONFIRMED, Group
from recorder.collector.results.group_reader import GroupReader
from recorder.collector.results.made_before import MadeBefore
from tests.unit.collector.seen import CONTAINERS, calls, sighting


class Folding:
    """Five sightings; the last is folded into the first when two pages were read, once."""

    def __init__(self, folds):
        self.compactions = 0
        self.rows = [sighting(calls("read"), cgroup=n, number=n) for n in range(1, 6)]
        self.reads = 0
        self._folds = folds

    async def sightings(self, recording, *, container, first_sights, accesses, after, limit):
        self.reads += 1
        page = [each for each in self.rows if each.id > after][:limit]
        if self._folds and self.reads == 2:
            self._folds = False
            self.rows = self.rows[:-1]
            self.compactions += 1
        return page


def read(store, monkeypatch):
    monkeypatch.setattr(group_reader, "_PAGE", 2)
    reader = GroupReader(store, CONFIRMED, "1", MadeBefore(), asyncio.Lock())
    found = asyncio.run(reader.read(CONTAINERS, "app", [Group("app", "")]))
    return [each.id for each in found[Group("app", "")]]


def test_pages_are_read_to_the_last(monkeypatch):
    """Each once."""
    store = Folding(folds=False)
    assert read(store, monkeypatch) == [1, 2, 3, 4, 5]
    assert store.reads == 3


def test_what_was_folded_meanwhile_makes_it_begin_anew(monkeypatch):
    """The first, as it was read before, would lack what was folded into it."""
    store = Folding(folds=True)
    assert read(store, monkeypatch) == [1, 2, 3, 4]
    assert store.reads == 6
