"""More processes than are followed: what is missing is counted, and what is there stays exact."""

import pytest

from recorder.model.abi import Abi
from tests.tasks.tree import Tree
from tests.tasks.waiting import Waiting
from tests.truth import programs
from tests.truth.calls import calls

pytestmark = pytest.mark.root

GATE = calls(Abi.X86_64, "read", "execve")


def test_children_that_find_no_place(built_programs, followed):
    """forker starts four processes one after the other, and waits for each."""
    alone = ("fork", "vfork", "clone3", "wait4", "getegid", "getppid", "getpgrp", "exit_group")
    with Waiting(built_programs["gate"], built_programs["forker"]) as waiting:
        seen = followed(waiting.pid, waiting.release, children=1)
        assert waiting.wait() == 0
    assert seen.setup == frozenset()
    assert seen.workload == GATE | calls(Abi.X86_64, *alone)
    assert dict(seen.ledger.counts) == {"attached_late": 1, "processes_full": 3}


def test_a_place_is_free_again_when_its_process_has_ended(built_programs, followed):
    with Waiting(built_programs["gate"], built_programs["forker"]) as waiting:
        seen = followed(waiting.pid, waiting.release, children=2)
        assert waiting.wait() == 0
    assert seen.problems(GATE | programs.EXPECTED["forker"], attached_late=1) == []


def test_children_before_that_find_no_place(load, tmp_path):
    """The bound holds for them too, while the recording begins and after it."""
    backend = load(children=2)
    with Tree(tmp_path) as tree:
        pids = [tree.root, *(tree.fork(tree.root) for _ in range(3))]
        target = backend.follow(tree.root)
        members = backend.members(target)
        assert len(members) == 2
        assert set(members) < set(pids)
        full = backend.read(target).ledger.counts["processes_full"]
        assert full >= 2
        pids.append(tree.fork(tree.root))
        assert backend.members(target) == members
        assert dict(backend.read(target).ledger.counts) == {"processes_full": full + 1}
        backend.drop(target)
        backend.release(target)


def test_all_processes_in_one_set_of_the_table(load, tmp_path):
    """The hash map behind the table holds those that their set has no place for."""
    backend = load(table_sets=1, children=16)
    with Tree(tmp_path) as tree:
        pids = [tree.root, *(tree.fork(tree.root) for _ in range(15))]
        target = backend.follow(tree.root)
        assert backend.members(target) == sorted(pids)
        for pid in pids[1:12]:
            tree.end(pid)
        assert backend.members(target) == sorted((pids[0], *pids[12:]))
        assert dict(backend.read(target).ledger.counts) == {}
        backend.drop(target)
        backend.release(target)
