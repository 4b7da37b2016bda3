"""Backends that follow processes, and what they saw."""

from collections.abc import Callable, Iterator

import pytest

from recorder.cli.process_recording import record_process
from recorder.containers.running_process import find_process
from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.preemption import programs_are_preemptible
from recorder.kernel.spec import TaskBounds, tasks_spec
from tests.exactness.same_run import wait_until
from tests.phases.seen import Seen


@pytest.fixture(scope="package")
def _loaded() -> Iterator[dict[tuple[bool, TaskBounds], LibbpfTaskBackend]]:
    """Loading takes most of a test's time; nothing is attached between the tests."""
    backends: dict[tuple[bool, TaskBounds], LibbpfTaskBackend] = {}
    yield backends
    for backend in backends.values():
        backend.close()


@pytest.fixture
def load(_loaded) -> Callable[..., LibbpfTaskBackend]:
    """`load(preemptible=..., children=2, ...)`: a backend without a target."""

    def make(*, preemptible: bool | None = None, **bounds: int) -> LibbpfTaskBackend:
        if preemptible is None:
            preemptible = programs_are_preemptible()
        key = preemptible, TaskBounds(**{"slots": 2, **bounds})
        if key not in _loaded:
            _loaded[key] = LibbpfTaskBackend(tasks_spec(key[1], preemptible=preemptible))
        assert _loaded[key].targets() == []
        return _loaded[key]

    return make


@pytest.fixture
def followed(load) -> Callable[..., Seen]:
    """`followed(pid, go, ...)`: what is seen of a process from now until it and all its own have ended.

    go: called when the recording has begun; the rest is for `load`.
    """

    def see(pid: int, go: Callable[[], object], **options: int) -> Seen:
        backend = load(**options)
        recording = record_process(backend, find_process(pid), "judged")
        go()

        def ended() -> bool:
            recording.poll()
            return recording.ended

        wait_until(ended, f"the recording of {pid} ends")
        return Seen.of_record(recording.finish())

    return see
