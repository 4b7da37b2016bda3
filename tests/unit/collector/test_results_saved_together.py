"""Results that wait for the disk at the same time are one commit, and nothing asked for changes its place."""

import asyncio
import threading

import pytest

from recorder.collector.store import AsyncStore, Store, StoredResult
from recorder.model.errors import StoreFull
from recorder.model.recording import ProfileKind
from tests.unit.collector.store_made import bounds, recording


def result(name, digest="d"):
    return StoredResult("r1", ProfileKind.SECCOMP, name, name=name, digest=digest)


@pytest.fixture
def held(monkeypatch):
    """The store's thread waits in `revision` until this is set."""
    go_on = threading.Event()
    monkeypatch.setattr(Store, "revision", property(lambda store: go_on.wait(30) and store._session.revision))
    yield go_on
    go_on.set()


def test_those_that_wait_are_one_commit_and_later_questions_see_them(tmp_path, held):
    """Of one key the last one stays; what is asked between two of them is done between them."""

    async def scenario():
        store = await AsyncStore.open(tmp_path / "store", bounds())
        await store.save_recording(recording("r1"))
        asked = [
            asyncio.create_task(each)
            for each in (
                store.revision(),
                *(store.save_result(result(f"c{number}")) for number in range(5)),
                store.save_result(result("c0", "later")),
                store.revision(),
                store.results("r1"),
                store.remove_result(result("c1")),
                store.save_result(result("c1", "again")),
            )
        ]
        await asyncio.sleep(0)
        held.set()
        answers = await asyncio.gather(*asked)
        last = await store.results("r1")
        await store.close()
        return answers, last

    answers, last = asyncio.run(scenario())
    before, after, found = answers[0], answers[7], answers[8]
    assert after == before + 1
    assert {each.name: each.digest for each in found} == {
        "c0": "later",
        **dict.fromkeys(["c1", "c2", "c3", "c4"], "d"),
    }
    assert {each.name: each.digest for each in last}["c1"] == "again"


def test_one_that_is_not_waited_for_any_more_does_not_take_the_others_along(tmp_path, held):
    """It is saved all the same."""

    async def scenario():
        store = await AsyncStore.open(tmp_path / "store", bounds())
        await store.save_recording(recording("r1"))
        waits = asyncio.create_task(store.revision())
        first, second = (asyncio.create_task(store.save_result(result(name))) for name in ("a", "b"))
        await asyncio.sleep(0)
        first.cancel()
        held.set()
        await asyncio.gather(waits, second)
        found = await store.results("r1")
        await store.close()
        return first.cancelled(), [each.name for each in found]

    assert asyncio.run(scenario()) == (True, ["a", "b"])


def test_a_full_disk_is_told_to_each(tmp_path, held, monkeypatch):
    """None of them is kept."""

    def full(store, results):
        raise StoreFull("the test's disk is full; make room")

    monkeypatch.setattr(Store, "save_results", full)

    async def scenario():
        store = await AsyncStore.open(tmp_path / "store", bounds())
        waits = asyncio.create_task(store.revision())
        saves = [asyncio.create_task(store.save_result(result(name))) for name in ("a", "b")]
        await asyncio.sleep(0)
        held.set()
        await waits
        answers = await asyncio.gather(*saves, return_exceptions=True)
        await store.close()
        return answers

    assert [type(each) for each in asyncio.run(scenario())] == [StoreFull, StoreFull]
