"""The signals that a recording takes one by one instead of dying of them."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

# What another process sends the recorder is meant for COMMAND. What the terminal sends
# goes to the whole foreground group, COMMAND included, by itself.
FORWARDED = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)
WATCHED = FORWARDED | {signal.SIGCHLD}

Mask = set[int]


@contextlib.contextmanager
def blocked() -> Iterator[Mask]:
    """Blocks WATCHED; gives the mask from before, which a started program must get back.

    What came until the end was for the recording: an impatient second Ctrl-C must not
    cost the result, so it is discarded.
    """
    before: Mask = set(signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED))
    try:
        yield before
    finally:
        while signal.sigtimedwait(WATCHED, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
