"""The store for an event loop: in order, in its own thread, closed in any case."""

import asyncio
import contextlib
import inspect
import threading

import pytest

from recorder.collector.store import AsyncStore, Store, StoredRecording
from recorder.model.errors import StoreDamaged
from tests.unit.collector.store_made import bounds, incoming, placed, recording


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store"


def test_it_has_every_method_of_the_store():
    """With the same parameters and defaults; a property is a coroutine without any."""

    def parameters(cls, name):
        member = inspect.getattr_static(cls, name)
        if isinstance(member, property):
            return ["self"]
        return [str(each) for each in inspect.signature(getattr(cls, name)).parameters.values()]

    public = [name for name in vars(Store) if not name.startswith("_")]
    assert public == [name for name in public if name in vars(AsyncStore)]
    for name in public:
        assert parameters(AsyncStore, name) == parameters(Store, name), name
        assert inspect.iscoroutinefunction(getattr(AsyncStore, name)), name


def test_calls_are_done_in_their_order_in_one_thread(path):
    """What was asked first is there for what is asked next, also without awaiting in between."""

    async def scenario():
        store = await AsyncStore.open(path, bounds())
        await store.save_recording(recording("r1"))
        results = await asyncio.gather(
            store.put([incoming(1)]),
            store.confirm(1, placed()),
            store.revision(),
            store.sightings("r1", first_sights=False, limit=5),
            store.recordings(),
            store.figures(),
        )
        threads = [each.name for each in threading.enumerate() if each.name.startswith("store")]
        await store.close()
        return results, threads

    (changes, confirmed, revision, sightings, recordings, figures), threads = asyncio.run(scenario())
    assert changes[0].changed
    assert confirmed
    assert revision == 3
    assert sightings[0].placement == placed()
    assert recordings == {"r1": StoredRecording(recording("r1"))}
    assert figures.open == 1
    assert len(threads) == 1


def test_reports_go_before_what_waits(path, monkeypatch):
    """Agents wait for the one call that is being done, not for all that results are made of."""
    entered, go_on = threading.Event(), threading.Event()
    original = Store.sightings

    def slow(store, *args, **kwargs):
        entered.set()
        assert go_on.wait(30)
        return original(store, *args, **kwargs)

    async def scenario():
        store = await AsyncStore.open(path, bounds())
        await store.save_recording(recording("r1"))
        monkeypatch.setattr(Store, "sightings", slow)
        reads = [asyncio.create_task(store.sightings("r1")) for _ in range(3)]
        assert await asyncio.to_thread(entered.wait, 30)
        puts = [asyncio.create_task(store.put([incoming(1)])), asyncio.create_task(store.put([incoming(2)]))]
        await asyncio.sleep(0)
        go_on.set()
        found = await asyncio.gather(*reads)
        changes = await asyncio.gather(*puts)
        await store.close()
        return found, changes

    found, changes = asyncio.run(scenario())
    assert [len(each) for each in found] == [0, 2, 2]
    assert [[each.changed for each in batch] for batch in changes] == [[True], [True]]


def test_errors_come_to_the_caller(path):
    """As the store raises them; the store can be opened after one that failed."""
    path.write_bytes(b"no database" * 1000)

    async def scenario():
        with pytest.raises(StoreDamaged):
            await AsyncStore.open(path, bounds())
        store = await AsyncStore.open(path, bounds(), set_aside=True)
        await store.close()

    asyncio.run(scenario())


def test_an_opening_that_is_cancelled_leaves_it_closed(path, monkeypatch):
    """A collector that is stopped while it starts: the next one is not refused."""
    entered, go_on = threading.Event(), threading.Event()
    original = Store.open

    def slow(*args, **kwargs):
        entered.set()
        assert go_on.wait(30)
        return original(*args, **kwargs)

    async def scenario():
        with monkeypatch.context() as patch:
            patch.setattr(Store, "open", slow)
            opening = asyncio.create_task(AsyncStore.open(path, bounds()))
            assert await asyncio.to_thread(entered.wait, 30)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            go_on.set()

    asyncio.run(scenario())
    for each in threading.enumerate():
        if each.name.startswith("store"):
            each.join(30)
    with contextlib.closing(Store.open(path, bounds())) as store:
        assert store.sightings("r1") == []
