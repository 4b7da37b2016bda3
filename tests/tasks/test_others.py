"""Who is outside the tree, and who belongs to another recording, is never mixed in."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from recorder.model.abi import Abi
from recorder.model.errors import BpfLimit
from tests.mixing.hand import deal
from tests.phases.seen import Seen
from tests.tasks.tree import Tree
from tests.tasks.waiting import Waiting
from tests.truth.calls import calls, safe_calls
from tests.truth.programs import EXEC, rawsys_calls, word

pytestmark = pytest.mark.root

LAST_PID = Path("/proc/sys/kernel/ns_last_pid")
LATE = {"attached_late": 1}
READ = calls(Abi.X86_64, "read")


def test_two_hundred_processes_beside_it(built_programs, followed, scaled):
    """They start and end while the recording does, each with calls that the recorded one never makes."""
    inside, outside = deal(2, seed=5)
    rawsys = str(built_programs["rawsys"])
    with Waiting(built_programs["gate"], rawsys, "300x", *map(word, inside)) as waiting:

        def beside() -> None:
            waiting.release()
            for _ in range(scaled(200, least=40)):
                subprocess.run([rawsys, "3x", *map(word, outside)], check=True, timeout=30)

        storm = threading.Thread(target=beside)
        seen = followed(waiting.pid, storm.start)
        storm.join()
        assert waiting.wait() == 0
    assert seen.problems(READ | EXEC | rawsys_calls(inside), **LATE) == []


def test_a_pid_that_is_used_again_is_somebody_elses(built_programs, load, tmp_path, scaled):
    """A child of the recorded process has ended; a process outside gets its number and makes calls."""
    made = safe_calls(Abi.I386)[:20]  # Python makes none of i386
    backend, again, wanted = load(), 0, scaled(50, least=5)
    with Tree(tmp_path) as tree:
        target = backend.follow(tree.root)
        for _ in range(wanted * 20):
            pid = tree.fork(tree.root)
            assert backend.members(target) == sorted((tree.root, pid))
            tree.end(pid)
            tree.reap(tree.root)
            LAST_PID.write_text(str(pid - 1))
            with subprocess.Popen([built_programs["rawsys"], *map(word, made)]) as other:
                assert other.wait(timeout=30) == 0
            again += other.pid == pid  # somebody else may have been quicker
            if again == wanted:
                break
        assert backend.members(target) == [tree.root]
        reading = backend.read(target)
        backend.drop(target)
        backend.release(target)
    assert again == wanted
    assert {call.abi for call in Seen.of(reading.calls, reading.ledger).workload} == {Abi.X86_64}


def test_a_pid_whose_owners_end_was_missed(built_programs, load, tmp_path):
    """The kernel may skip a program's run: the next process with that pid is not taken for the old one."""
    made = safe_calls(Abi.I386)[:20]
    backend = load()
    (on_exit,) = (name for name in backend._spec.attach if name.startswith("on_exit"))
    with Tree(tmp_path) as tree:
        target = backend.follow(tree.root)
        for _ in range(100):
            pid = tree.fork(tree.root)
            os.close(backend._links._fds.pop(on_exit))
            tree.end(pid)
            tree.reap(tree.root)
            backend._links.attach()
            LAST_PID.write_text(str(pid - 1))
            with subprocess.Popen([built_programs["rawsys"], *map(word, made)]) as other:
                assert other.wait(timeout=30) == 0
            if other.pid == pid:
                break
        reading = backend.read(target)
        backend.drop(target)
        backend.release(target)
    assert other.pid == pid
    assert {call.abi for call in Seen.of(reading.calls, reading.ledger).workload} == {Abi.X86_64}


def test_who_has_no_parent_is_nobodys(load, tmp_path):
    """Init's and kthreadd's parent has the tgid 0, as has a place in the table that somebody has left."""
    backend = load(slots=1, table_sets=1)  # all share one set of places
    with Tree(tmp_path) as tree:
        target = backend.follow(tree.root)
        tree.end(tree.fork(tree.root))
        tree.end(tree.root)
        assert backend.read(target).ended
        backend.release(target)
    with subprocess.Popen(["sleep", "60"]) as process:
        target = backend.follow(process.pid)
        assert backend.members(target) == [process.pid]
        process.kill()
        process.wait()
        assert backend.read(target).ended
        backend.release(target)


def test_two_recordings_at_a_time(built_programs, load):
    """Each has its own calls, whatever the other does; a third one has no slot."""
    hands = deal(2, seed=8)
    backend = load()
    gate, rawsys = built_programs["gate"], built_programs["rawsys"]
    with (
        Waiting(gate, rawsys, *map(word, hands[0])) as first,
        Waiting(gate, rawsys, *map(word, hands[1])) as second,
        Waiting(gate) as third,
    ):
        targets = {each: backend.follow(each.pid) for each in (first, second)}
        with pytest.raises(BpfLimit, match="all 2 slots are in use"):
            backend.follow(third.pid)
        for (each, target), hand in zip(targets.items(), hands, strict=True):
            each.release()
            assert each.wait() == 0
            reading = backend.read(target)
            assert reading.ended
            # In flight when it began: the command takes that along, see record_process.
            assert Seen.of(reading.calls, reading.ledger).problems(EXEC | rawsys_calls(hand)) == []
            backend.release(target)


def test_who_belongs_to_one_recording_belongs_to_no_other(load, tmp_path):
    """A member cannot be the root of another; and a root's descendant that is one already is a loss."""
    backend = load()
    with Tree(tmp_path) as tree:
        child = tree.fork(tree.root)
        grandchild = tree.fork(child)
        inner = backend.follow(child)
        for pid in (child, grandchild):
            with pytest.raises(BpfLimit, match=f"process {pid} is followed by another recording"):
                backend.follow(pid)
        outer = backend.follow(tree.root)
        assert backend.members(inner) == [child, grandchild]
        assert backend.members(outer) == [tree.root]
        assert dict(backend.read(outer).ledger.counts) == {"followed_elsewhere": 1}
        for target in (inner, outer):
            backend.drop(target)
            assert backend.members(target) == []
            backend.release(target)


def test_a_tree_is_whole_however_it_was_made(load, tmp_path):
    """Walks come to a child before its parent, where pids began anew: they go on until nothing is new."""
    backend = load()
    with Tree(tmp_path) as tree:
        pids = [tree.root]
        for generation in range(12):
            LAST_PID.write_text(str(30_000 - 100 * generation))
            pids.append(tree.fork(pids[-1]))
        assert pids != sorted(pids)
        target = backend.follow(tree.root)
        assert backend.members(target) == sorted(pids)
        backend.drop(target)
        backend.release(target)
