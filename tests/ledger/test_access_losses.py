"""What can be lost of accesses on the way through an agent, each by what loses it."""

import asyncio
from collections.abc import Callable

import pytest

from recorder.agent.accesses import AccessReader
from recorder.agent.observation import observe
from recorder.agent.tracked import Subject, Tracked
from recorder.agent.tracked_accesses import TrackedAccesses
from recorder.kernel.backend import Reading, Target
from recorder.model.errors import UnsupportedKernel
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Record
from tests.ledger.judgement import assert_judged
from tests.unit.agent.told_accesses import ToldAccesses, file

TARGET = Target(1, 1, 7)


@pytest.fixture
def told():
    made = ToldAccesses()
    made.tell(TARGET, file(b"/run/password=swordfish7"))
    return made


def recorded(told: ToldAccesses, began: Callable[[int], int]) -> Record:
    """Of a container whose accesses are asked for; began: by when they were looked for from."""
    reader = AccessReader(lambda _: told)
    reader.prepare()
    tracked = Tracked(TARGET, Subject("/app"), "exec")
    seen = TrackedAccesses(reader, lambda: iter([tracked]), lambda: None)

    async def run():
        await seen.look(True)
        seen.want(tracked, began(seen.since_ns))
        return await seen.last(tracked)

    observation = observe(
        Reading(TARGET, 1, 0, False, True, False, {}, Ledger()),
        node="n",
        loader="libbpf",
        phases="exec",
        identity=Identity("web"),
        ledger=Ledger(),
        sights={},
        ended=True,
        used=asyncio.run(run()),
    )
    return Record((observation,))


def test_accesses_unwatched_where_the_kernel_cannot_show_them(told, capsys):
    """They were asked for: the record has none and says so, and that nobody looked for them."""
    told.refuses = UnsupportedKernel("no fentry")
    record = recorded(told, lambda since: since)
    assert record.observations[0].provenance.kinds == ""
    assert_judged(record, capsys, losses={"accesses_unwatched": 1})


def test_accesses_late_for_who_asks_for_them_afterwards(told, capsys):
    """What was used before is missing; and a secret in a path is none that the record has."""
    record = recorded(told, lambda since: since - 1)
    assert "swordfish" not in str(record)
    assert record.observations[0].provenance.kinds == "syscalls,accesses"
    assert_judged(record, capsys, losses={"accesses_late": 1}, notes={"secret_replaced": 1})
    assert_judged(recorded(told, lambda since: since), capsys, notes={"secret_replaced": 1})
