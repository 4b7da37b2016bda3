"""While a recording begins: who comes, goes or loses its parent between the attaching and the last walk."""

import contextlib
import os
import signal
import subprocess

import pytest

from recorder.kernel.layout import WalkOp, WalkResult
from recorder.model.errors import ProcessNotFound
from tests.exactness.same_run import wait_until
from tests.tasks.tree import Tree

pytestmark = pytest.mark.root


@contextlib.contextmanager
def halfway(backend, root):
    """Attached, the root is followed, and no descendant was looked for; at the end of the `with` they are."""
    with backend._attached():
        walked = backend._walk(WalkOp.WALK_BEGIN, pid=root)
        assert walked.result == WalkResult.WALK_DONE
        (target,) = backend.targets()
        assert backend.members(target) == [root]
        yield target
        backend._adopt_descendants(target)


@pytest.fixture
def backend(load):
    """A backend whose target, if a test leaves one, is given back."""
    made = load()
    yield made
    for target in made.targets():
        made.drop(target)
        made.release(target)


def test_a_child_of_one_that_was_not_found_yet(backend, tmp_path):
    """It is started by a process that is nobody's so far."""
    with Tree(tmp_path) as tree:
        child = tree.fork(tree.root)
        with halfway(backend, tree.root) as target:
            grandchild = tree.fork(child)
            assert backend.members(target) == sorted((tree.root, grandchild))
        assert backend.members(target) == sorted((tree.root, child, grandchild))


def test_a_parent_that_ends_before_it_was_found(backend, tmp_path):
    """Its children are init's from then on, and no walk could tell whose they were."""
    with Tree(tmp_path) as tree:
        child = tree.fork(tree.root)
        orphans = [tree.fork(child) for _ in range(5)]
        below = tree.fork(orphans[0])
        with halfway(backend, tree.root) as target:
            tree.end(child)
        assert backend.members(target) == sorted((tree.root, *orphans, below))


def test_the_root_ends_before_its_children_were_found(backend, tmp_path):
    with Tree(tmp_path) as tree:
        child = tree.fork(tree.root)
        with halfway(backend, tree.root) as target:
            tree.end(tree.root)
            assert not backend.read(target).ended
        assert backend.members(target) == [child]
        tree.end(child)
        wait_until(lambda: backend.read(target).ended, "the recording ends with the last child")


def test_all_end_before_any_was_found(backend, tmp_path):
    with Tree(tmp_path) as tree:
        child = tree.fork(tree.root)
        with halfway(backend, tree.root) as target:
            tree.end(child)
            tree.end(tree.root)
            assert not backend.read(target).ended
        assert backend.read(target).ended
        assert backend.members(target) == []


def test_afterwards_orphans_of_others_are_nobodys(backend, tmp_path):
    """Whose parent ends later, and was not followed, is not taken in."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    with Tree(outside) as others, Tree(inside) as tree:
        parent = others.fork(others.root)
        others.fork(parent)
        target = backend.follow(tree.root)
        others.end(parent)
        assert backend.members(target) == [tree.root]


def test_a_process_that_ends_while_its_recording_begins(backend, scaled):
    """Either it was there no more, or its recording ends; nothing else, at whatever moment it comes."""
    for _ in range(scaled(200, least=20)):
        with subprocess.Popen(["sleep", "60"]) as process:
            killer = subprocess.Popen(["sh", "-c", f"kill -9 {process.pid}"])
            try:
                target = backend.follow(process.pid)
            except ProcessNotFound:
                target = None
            finally:
                killer.wait()
            process.wait()
            if target:
                wait_until(lambda t=target: backend.read(t).ended, "the recording ends with its process")
                backend.release(target)
        assert backend.targets() == []


def test_there_is_no_such_process(backend):
    """Also when it is a zombie; nothing stays attached."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessNotFound, match=f"no process {pid}"):
        backend.follow(pid)
    os.waitpid(pid, 0)
    with pytest.raises(ProcessNotFound, match=f"no process {pid}"):
        backend.follow(pid)
    assert backend.targets() == []


def test_a_process_whose_first_thread_has_ended(backend, built_programs):
    """It looks like a zombie, and lives."""
    script = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(60,)).start(); "
    script += "ctypes.CDLL(None).syscall(60, 0)"
    with subprocess.Popen(["python3", "-c", script]) as process:
        status = f"/proc/{process.pid}/status"
        wait_until(lambda: "State:\tZ" in open(status).read(), "the first thread ends")  # noqa: SIM115
        target = backend.follow(process.pid)
        assert backend.members(target) == [process.pid]
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert backend.read(target).ended
