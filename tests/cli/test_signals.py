"""Signals that end a capture, whenever they come."""

import asyncio
import os
import signal

import pytest

from recorder.cli.signals import Ending


@pytest.mark.parametrize("number", Ending.NUMBERS)
def test_a_signal_before_during_and_after_the_loop(number):
    """Before it is remembered, during it wakes the loop, after it is for nothing; then all is as it was."""
    before = signal.getsignal(number)
    calls: list[str] = []

    async def work(ending: Ending) -> None:
        woken = asyncio.Event()
        with ending.calls(lambda: (calls.append("call"), woken.set())):
            assert calls == ["call"]
            woken.clear()
            os.kill(os.getpid(), number)
            async with asyncio.timeout(10):
                await woken.wait()

    with Ending() as ending:
        os.kill(os.getpid(), number)
        asyncio.run(work(ending))
        os.kill(os.getpid(), number)
        assert calls == ["call", "call"]
    assert signal.getsignal(number) == before
