"""A bpffs of the test's own, and recorders whose COMMAND waits for its stdin to end."""

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.conftest import remove_cgroup
from tests.leftovers.remains import Remains

# Says its process id, then does what stdin says: the end of stdin is its end.
WAITS = ("/bin/sh", "-c", "echo $$; exec cat")


@pytest.fixture(autouse=True)
def _interruptible():
    """A shell starts jobs in the background with SIGINT ignored, which COMMAND would inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


Begun = tuple[subprocess.Popen[bytes], int, Remains]
Waiting = Callable[..., AbstractContextManager[Begun]]


@pytest.fixture
def waiting(recorder_cli, cgroup2, tmp_path) -> Iterator[Waiting]:
    """`with waiting(OPTION..., argv=WAITS) as (recorder, command, remains)`: COMMAND's pid is its first line.

    Whatever a failed test leaves of the cgroups is gone after it.
    """
    cgroups = []

    @contextlib.contextmanager
    def start(*options: str, argv: tuple[str, ...] = WAITS) -> Iterator[Begun]:
        with recorder_cli.started("record", "-o", tmp_path / "result", *options, "--", *argv) as recorder:
            command = int(recorder.stdout.readline())
            remains = Remains.of(recorder.pid, command, cgroup2)
            cgroups.append(remains.cgroup)
            yield recorder, command, remains

    yield start
    for cgroup in cgroups:
        remove_cgroup(cgroup)
