"""A recording of a process that outlives the recorder: pinned, adopted, read."""

import contextlib
import os

import pytest

from recorder.kernel import pins
from recorder.kernel.layout import WalkOp
from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.spec import TaskBounds, tasks_spec
from recorder.model.errors import PinMismatch
from tests.kernel_objects import held_by, left_of
from tests.phases.seen import Seen
from tests.tasks.tree import Tree
from tests.tasks.waiting import Waiting
from tests.truth import programs

pytestmark = pytest.mark.root

SPEC = tasks_spec(TaskBounds())


def test_what_happens_in_between_is_there(bpffs, built_programs):
    before = held_by(os.getpid())
    with Waiting(built_programs["gate"], built_programs["forker"]) as waiting:
        with contextlib.closing(LibbpfTaskBackend(SPEC)) as backend:
            target = backend.follow(waiting.pid)
            backend.pin(bpffs / "held")
            objects = held_by(os.getpid()) - before
        waiting.release()
        assert waiting.wait() == 0
    with pytest.raises(PinMismatch, match="made with other bounds"):
        LibbpfTaskBackend(tasks_spec(TaskBounds(children=5)), adopt=bpffs / "held")
    with contextlib.closing(LibbpfTaskBackend(SPEC, adopt=bpffs / "held")) as backend:
        assert backend.targets() == [target]
        reading = backend.read(target)
        assert reading.ended
        seen = Seen.of(reading.calls, reading.ledger)
        backend.release(target)
    assert seen.problems(programs.EXEC | programs.EXPECTED["forker"]) == []
    assert pins.unpin(bpffs / "held")
    assert left_of(objects) == frozenset()


def test_who_takes_over_finds_the_descendants_that_were_not_found_yet(bpffs, tmp_path):
    """The recorder was killed while a recording began."""
    folder = tmp_path / "tree"
    folder.mkdir()
    with Tree(folder) as tree:
        child = tree.fork(tree.root)
        with contextlib.closing(LibbpfTaskBackend(SPEC)) as backend, backend._attached():
            backend._walk(WalkOp.WALK_BEGIN, pid=tree.root)
            backend.pin(bpffs / "held")
        with contextlib.closing(LibbpfTaskBackend(SPEC, adopt=bpffs / "held")) as backend:
            (target,) = backend.targets()
            assert backend.members(target) == sorted((tree.root, child))
            for pid in (child, tree.root):
                tree.end(pid)
            assert backend.read(target).ended
            backend.release(target)
    assert pins.unpin(bpffs / "held")
