"""Tasks that keep a service going: that one ended is seen, said and raised."""

import asyncio

import pytest

from recorder.model.errors import StorageError
from recorder.service.lasting_tasks import LastingTasks


async def forever():
    await asyncio.Event().wait()


async def fails():
    raise StorageError("the disk is full")


async def fails_in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(forever())
        group.create_task(fails())


@pytest.mark.parametrize("work", [fails, fails_in_a_group])
def test_the_first_failure_is_raised_as_it_was(work):
    """Also that of a group's, of which the others are cancelled."""

    async def run():
        tasks = LastingTasks()
        tasks.start(forever(), work())
        assert (tasks.running, tasks.failure) == (True, None)
        with pytest.raises(StorageError, match="the disk is full"):
            await tasks.wait()
        assert not tasks.running
        assert isinstance(tasks.failure, StorageError)
        await tasks.stop()
        await tasks.stop()

    asyncio.run(run())


def test_what_is_stopped_has_not_failed():
    """The service has ended."""

    async def run():
        tasks = LastingTasks()
        tasks.start(forever(), forever())
        await asyncio.sleep(0)
        await tasks.stop()
        assert (tasks.running, tasks.failure) == (False, None)

    asyncio.run(run())
