"""What happens in the tree while a recording begins is followed, or counted."""

import pytest

from recorder.containers.cgroup import Cgroup
from tests.ledger.test_losses import run, workload
from tests.truth.programs import EXEC, EXPECTED

pytestmark = pytest.mark.root


@pytest.fixture
def after_the_look(monkeypatch):
    """`after_the_look(backend, action)`: done once, after the first look at the tree that follows the add."""

    def arrange(backend, action):
        add, look = backend.add, Cgroup.descendants
        waiting = []

        def armed_add(*arguments, **named):
            target = add(*arguments, **named)
            waiting.append(action)
            return target

        def look_and_act(cgroup):
            found = list(look(cgroup))
            while waiting:
                waiting.pop()()
            return iter(found)

        monkeypatch.setattr(backend, "add", armed_add)
        monkeypatch.setattr(Cgroup, "descendants", look_and_act)

    return arrange


def test_a_cgroup_made_below_an_old_child_is_followed(
    *, load, recording, scratch_cgroup, built_programs, after_the_look
):
    """It comes after the look at the tree, and before its parent counts for the target."""
    backend = load()
    cgroup = scratch_cgroup()
    old = scratch_cgroup("old", parent=cgroup)
    made = []
    after_the_look(backend, lambda: made.append(scratch_cgroup("new", parent=old)))
    taken = recording(backend, cgroup)
    (new,) = made
    run(new, built_programs["five"])
    record = taken.finish()
    assert workload(record) == EXPECTED["five"] | EXEC
    assert record.verdict.complete


def test_a_child_that_goes_after_the_look_is_left_out(
    *, load, recording, scratch_cgroup, built_programs, after_the_look
):
    """No error, and the recording of the others goes on."""
    backend = load()
    cgroup = scratch_cgroup()
    gone = scratch_cgroup("gone", parent=cgroup)
    stays = scratch_cgroup("stays", parent=cgroup)
    after_the_look(backend, gone.rmdir)
    taken = recording(backend, cgroup)
    assert not gone.exists()
    run(stays, built_programs["brief"])
    record = taken.finish()
    assert workload(record) == EXPECTED["brief"] | EXEC
    assert record.verdict.complete
