"""Who ran already: a call in flight was seen by nobody to begin, and is no denial when it fails."""

import contextlib
import errno
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.spec import TaskBounds, tasks_spec
from tests.denials.filtered import PREEMPTIBLE, Seen, named, number
from tests.exactness.same_run import JOIN, wait_until

pytestmark = pytest.mark.root

WAIT = "wait:2000"


@contextlib.contextmanager
def waiting(program, rule, *calls, join=None):
    """`filtered`, in its first call; at the end of the `with` it has ended and `output` is there."""
    words = [program, f"{number('rmdir')}={rule}", "--", WAIT, *calls]
    if join:
        words = ["sh", "-c", JOIN, join, *words]
    with Popen(words, stdout=PIPE, text=True) as process:
        try:
            wait_until(lambda: in_call(process.pid, "rt_sigtimedwait"), "it waits")
            yield process
        finally:
            process.kill()


def in_call(pid, name):
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] == str(number(name))


def play(process, after):
    """To its end."""
    output, _ = process.communicate(timeout=60)
    assert output.splitlines()[0] == f"{WAIT} {-errno.EAGAIN}"
    assert output.splitlines()[1:] == after


DENIED = str(number("rmdir"))


def test_a_call_in_flight_when_the_recording_begins(backend, scratch_cgroup, built_programs):
    """It fails while it is recorded, and nobody calls it again; what is denied afterwards is."""
    cgroup = scratch_cgroup()
    with waiting(built_programs["filtered"], "errno:1", DENIED, join=cgroup) as process:
        target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC, late=True)
        play(process, [f"{DENIED} -1"])
    backend.drop(target)
    found = Seen.of(backend.read(target, final=True))
    backend.release(target)
    assert found.denied == named("rmdir")
    assert not named("rt_sigtimedwait") & (found.allowed | found.denied_setup)


@pytest.mark.parametrize("action", ["kill_process", "trap"])
def test_a_late_recording_sees_what_ends_the_process(backend, scratch_cgroup, built_programs, action):
    cgroup = scratch_cgroup()
    with waiting(built_programs["filtered"], action, DENIED, join=cgroup) as process:
        target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC, late=True)
        process.wait(timeout=60)
    backend.drop(target)
    found = Seen.of(backend.read(target, final=True))
    backend.release(target)
    assert found.denied == named("rmdir")


def test_who_is_moved_in_while_in_a_call(backend, scratch_cgroup, built_programs):
    """It is no denial of the set-up either; one afterwards counts, though no exec makes it the workload's."""
    cgroup = scratch_cgroup()
    target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
    with waiting(built_programs["filtered"], "errno:1", DENIED) as process:
        (cgroup / "cgroup.procs").write_text(str(process.pid))
        play(process, [f"{DENIED} -1"])
    backend.drop(target)
    reading = backend.read(target, final=True)
    backend.release(target)
    assert (Seen.of(reading).denied, Seen.of(reading).denied_setup) == (named("rmdir"), frozenset())
    assert dict(reading.ledger.counts) == {"joiner_without_exec": 1}


@pytest.fixture(scope="module", params=PREEMPTIBLE, ids=str)
def tasks(request):
    """Loaded once: that takes most of a test's time."""
    spec = tasks_spec(TaskBounds(denials=True), preemptible=request.param)
    with contextlib.closing(LibbpfTaskBackend(spec)) as backend:
        yield backend


@pytest.mark.parametrize("action", ["errno:1", "trap", "kill_process", "kill_thread"])
def test_of_a_process(tasks, built_programs, action):
    """By process (--pid): the same, of a thread as well."""
    with waiting(built_programs["filtered"], action, f"t:{DENIED}") as process:
        target = tasks.follow(process.pid)
        process.wait(timeout=60)
    wait_until(lambda: tasks.read(target).ended, "the recording ends")
    found = Seen.of(tasks.read(target, final=True))
    tasks.release(target)
    assert (found.denied, found.denied_setup) == (named("rmdir"), frozenset())
