"""Losses that only recordings of processes have: each is made to happen, and counted as often as it did."""

import contextlib

import pytest

from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend
from recorder.kernel.spec import TaskBounds, tasks_spec
from tests.tasks.tree import Tree

pytestmark = pytest.mark.root


@pytest.fixture
def backend():
    """It follows two processes of a target at a time."""
    with contextlib.closing(LibbpfTaskBackend(tasks_spec(TaskBounds(slots=2, children=2)))) as made:
        yield made


def test_processes_full(backend, tmp_path):
    with Tree(tmp_path) as tree:
        target = backend.follow(tree.root)
        child = tree.fork(tree.root)
        assert dict(backend.read(target).ledger.counts) == {}
        for _ in range(3):
            tree.fork(tree.root)
        assert dict(backend.read(target).ledger.counts) == {"processes_full": 3}
        assert backend.members(target) == sorted((tree.root, child))


def test_followed_elsewhere(backend, tmp_path):
    with Tree(tmp_path) as tree:
        child = tree.fork(tree.root)
        inner = backend.follow(child)
        outer = backend.follow(tree.root)
        assert dict(backend.read(outer).ledger.counts) == {"followed_elsewhere": 1}
        assert dict(backend.read(inner).ledger.counts) == {}
