"""Whose a slot is: asked for many at a time, again when nobody answered, and at once when it has ended."""

import asyncio

from recorder.agent import naming
from recorder.agent.naming import AT_ONCE, Naming
from recorder.agent.tracked import Subject, Tracked
from recorder.containers.container import Container, Manager
from recorder.containers.place import place_of
from recorder.kernel.backend import Target
from recorder.model.errors import RuntimeUnreachable
from tests.unit.containers.fake_cri import hex_id, until


class Index:
    """Answers as a test says; `asking` are those that wait."""

    def __init__(self):
        self.asked = []
        self.asking = 0
        self.most = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.down = False
        self.known = {}
        self.listed = {}

    def find(self, container_id):
        return self.listed.get(container_id)

    async def resolve(self, place):
        self.asked.append(place.container_id)
        self.asking += 1
        self.most = max(self.most, self.asking)
        try:
            await self.gate.wait()
        finally:
            self.asking -= 1
        if self.down:
            raise RuntimeUnreachable("down")
        return self.known.get(place.container_id)


class Slots:
    """Who has them, and what was said of each."""

    def __init__(self):
        self.given_back = set()
        self.wanted = True
        self.said = {}

    def holds(self, tracked):
        return tracked not in self.given_back

    def worth(self, tracked, since):
        return self.wanted

    def named(self, tracked, container):
        assert tracked not in self.said, "said twice"
        self.said[tracked] = container


def slot(number, *, container=True):
    path = f"/k8s.io/{hex_id(number)}" if container else f"/system.slice/{number}.service"
    return Tracked(Target(number, 1, number), Subject(path, place_of(path)), "container")


def made(number):
    return Container(hex_id(number), f"c-{number}", Manager.CRI)


def with_naming(test, monkeypatch):
    monkeypatch.setattr(naming, "AGAIN", (0.01, 0.05))

    async def body():
        index, slots = Index(), Slots()
        asks = Naming(index, slots)
        try:
            await test(index, slots, asks)
        finally:
            await asks.close()

    asyncio.run(body())


def test_a_flood_waits_without_tasks(monkeypatch):
    """Thousands of slots: so many questions at a time, and no task for one that waits; all are named."""

    async def test(index, slots, asks):
        index.gate.clear()
        index.known = {hex_id(number): made(number) for number in range(3000)}
        before = len(asyncio.all_tasks())
        tracked = [slot(number) for number in range(3000)]
        for each in tracked:
            asks.ask(each)
        await until(lambda: index.asking == AT_ONCE)
        assert len(asyncio.all_tasks()) <= before + AT_ONCE
        index.gate.set()
        await until(lambda: len(slots.said) == 3000)
        assert index.most == AT_ONCE
        assert [slots.said[each].name for each in tracked] == [f"c-{number}" for number in range(3000)]

    with_naming(test, monkeypatch)


def test_a_cgroup_that_is_no_container_is_nobodys(monkeypatch):
    """No runtime is asked; it is said in a later turn, when whoever made the slot has its askers."""

    async def test(index, slots, asks):
        unit = slot(1, container=False)
        asks.ask(unit)
        assert slots.said == {}
        await until(lambda: slots.said)
        assert (slots.said, index.asked) == ({unit: None}, [])

    with_naming(test, monkeypatch)


def test_it_is_asked_again_until_somebody_answers(monkeypatch):
    """A runtime that is down, then does not know it yet, then does."""

    async def test(index, slots, asks):
        index.down = True
        asks.ask(slot(1))
        await until(lambda: len(index.asked) >= 3)
        index.down = False
        count = len(index.asked)
        await until(lambda: len(index.asked) >= count + 3)
        assert slots.said == {}
        index.known[hex_id(1)] = made(1)
        await until(lambda: slots.said)
        assert [each.name for each in slots.said.values()] == ["c-1"]

    with_naming(test, monkeypatch)


def test_its_end_is_the_last_question(monkeypatch):
    """It is asked for at once, whatever the pause; then nobody will ever say. A runtime that is down may."""

    async def test(index, slots, asks):
        monkeypatch.setattr(naming, "AGAIN", (3600.0, 3600.0))
        first, second = slot(1), slot(2)
        asks.ask(first)
        await until(lambda: index.asked == [hex_id(1)] and not index.asking)
        first.ended = True
        asks.ended(first)
        await until(lambda: slots.said == {first: None})
        monkeypatch.setattr(naming, "AGAIN", (0.01, 0.05))
        index.down = second.ended = True
        asks.ask(second)
        await until(lambda: len(index.asked) > 5)
        assert second not in slots.said
        index.down = False
        await until(lambda: second in slots.said)

    with_naming(test, monkeypatch)


def test_what_a_list_said_is_kept(monkeypatch):
    """Of a container that its runtime listed, and has forgotten when it answers again."""

    async def test(index, slots, asks):
        index.down = True
        index.listed = {hex_id(1): made(1)}
        tracked = slot(1)
        tracked.ended = True
        asks.ask(tracked)
        await until(lambda: index.asked)
        index.listed, index.down = {}, False
        await until(lambda: slots.said)
        found = slots.said[tracked]
        assert (found.name, found.cgroup_path) == ("c-1", tracked.subject.path)

    with_naming(test, monkeypatch)


def test_a_slot_that_is_given_back_is_not_asked_for(monkeypatch):
    """Nor is anything said of it, also if it goes while it is asked for; nobody wants another: it may go."""

    async def test(index, slots, asks):
        waits, goes, unwanted = slot(1), slot(2), slot(3)
        slots.given_back.add(waits)
        asks.ask(waits)
        index.gate.clear()
        asks.ask(goes)
        await until(lambda: index.asked == [hex_id(2)])
        slots.given_back.add(goes)
        slots.wanted = False
        asks.ask(unwanted)
        index.gate.set()
        await until(lambda: slots.said)
        assert (slots.said, index.asked) == ({unwanted: None}, [hex_id(2), hex_id(3)])

    with_naming(test, monkeypatch)
