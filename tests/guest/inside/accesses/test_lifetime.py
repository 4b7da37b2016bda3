"""Entries that are given back, readings while it goes on, a watch that outlives its process."""

import contextlib
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recorder.kernel import pins
from recorder.kernel.accesses import AccessLosses, AccessWatch
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import syscalls_spec
from recorder.model.access import File, FileRight
from recorder.model.errors import PinMismatch
from recorder.model.record import Phase
from tests.bpffs import bpffs_in
from tests.guest.inside.accesses.holder import ACCESS_BOUNDS, BOUNDS
from tests.guest.inside.accesses.watched import joining, new_cgroup, shell

READ = FileRight.READ


def _files(accesses, folder, phase=Phase.WORKLOAD):
    """Names of the files below the folder, with rights."""
    start = bytes(folder) + b"/"
    return {
        subject.path.removeprefix(start).decode(): seen.rights
        for subject, seen in accesses.of(phase)
        if isinstance(subject, File) and subject.path.startswith(start)
    }


def _touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("x\n")


class _Reader:
    """A shell in a cgroup that reads the files it is told to, one after the other."""

    def __init__(self, cgroup, folder):
        text = 'while read name; do read line <"$0/$name"; echo done; done'
        words = joining(cgroup, f"exec /bin/sh -c '{text}' {folder}")
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, *names):
        for name in names:
            self._process.stdin.write(name.encode() + b"\n")
            self._process.stdin.flush()
            assert self._process.stdout.readline() == b"done\n"

    def close(self):
        self._process.communicate(timeout=60)


@contextlib.contextmanager
def _reading(cgroup, folder):
    reader = _Reader(cgroup, folder)
    try:
        yield reader
    finally:
        reader.close()


def test_what_is_released_is_used_again(tmp_path, small):
    """Targets that come and go use more entries and lines than there are: none is lost, or another's."""
    long = "l" * 200
    for turn in range(8):
        names = [f"{long}-{turn}-{number}" for number in range(40)]
        _touch(tmp_path / "files", *names)
        with small.recording() as (cgroup, target):
            with _reading(cgroup, tmp_path / "files") as reader:
                reader.read(*names)
            small.watch.drop(target)
            found = small.watch.read(target, final=True)
            used = small.watch.use()
            small.watch.release(target)
            assert small.watch.read(target).accesses.entries == {}
            assert small.watch.read(target).losses == AccessLosses()
            # Not taken up again while its slot lives on, until somebody says so.
            shell(cgroup, f"read line <{tmp_path}/files/{names[0]}")
            assert small.watch.read(target).accesses.entries == {}
            small.watch.watch(target)
            shell(cgroup, f"read line <{tmp_path}/files/{names[1]}")
            assert _files(small.watch.read(target).accesses, tmp_path / "files") == {names[1]: READ}
        assert _files(found.accesses, tmp_path / "files") == dict.fromkeys(names, READ)
        assert found.losses == AccessLosses()
        assert used["accesses"][0] >= 40
        assert used["lines"][0] >= 40 * 4
    assert {name: used for name, (used, _) in small.watch.use().items()} == {"accesses": 0, "lines": 0}


def test_given_back_again_and_again_in_the_middle_of_a_flood(tmp_path, small, scaled):
    """No reading has anything but what was used, with its whole right; and in the end nothing is taken."""
    long = "l" * 150
    names = [f"{long}{number}" for number in range(50)]
    _touch(tmp_path / "files", *names)
    loop = f"while :; do for name in {tmp_path}/files/*; do read line <$name; done; done"
    before, seen = small.watch.use(), set()
    with small.recording() as (cgroup, target):
        changes = small.watch.changes(target)
        words = joining(cgroup, f"exec /bin/sh -c '{loop}'")
        floods = [subprocess.Popen(words) for _ in range(2)]
        try:
            for _ in range(scaled(2_000, 5)):
                while small.watch.changes(target) == changes:
                    time.sleep(0.001)
                small.watch.drop(target)
                found = small.watch.read(target, final=True)
                assert found == small.watch.read(target, final=True)
                small.watch.release(target)
                changes = small.watch.changes(target)
                small.watch.watch(target)
                mine = _files(found.accesses, tmp_path)
                assert mine.keys() <= {f"files/{name}" for name in names} | {"files"}
                assert set(mine.values()) <= {READ}
                seen |= mine.keys()
        finally:
            for each in floods:
                each.kill()
                each.wait()
    assert len(seen) > 1
    assert {name: each[0] for name, each in small.watch.use().items()} == {"accesses": 0, "lines": 0}
    assert small.watch.use() == before


def test_each_reading_says_what_is_new(tmp_path, small):
    """A target's number changes with what it uses anew, and a reading after a cursor has just that."""
    _touch(tmp_path / "files", "first", "second", "third")
    with small.recording() as (cgroup, target), _reading(cgroup, tmp_path / "files") as reader:
        reader.read("first")
        first = small.watch.read(target)
        changes = small.watch.changes(target)
        assert _files(first.accesses, tmp_path / "files") == {"first": READ}
        assert _files(first.accesses, tmp_path, Phase.SETUP) == {}
        reader.read("first")
        assert small.watch.changes(target) == changes == first.cursor
        assert _files(small.watch.read(target, after=first.cursor).accesses, tmp_path) == {}
        reader.read("second", "third")
        (tmp_path / "files" / "second").write_text("not its access\n")
        assert small.watch.changes(target) != changes
        more = small.watch.read(target, after=first.cursor)
        assert _files(more.accesses, tmp_path / "files") == {"second": READ, "third": READ}
        shell(cgroup, f"echo y >>{tmp_path}/files/first")
        new_right = small.watch.read(target, after=more.cursor)
        appended = FileRight.APPEND | FileRight.CREATE
        assert _files(new_right.accesses, tmp_path / "files") == {"first": READ | appended}
        whole = small.watch.read(target).accesses
        parts = first.accesses.join(more.accesses).join(new_right.accesses)
        assert _files(parts, tmp_path) == _files(whole, tmp_path)


def test_processes_whose_phase_is_known_later_are_settled(tmp_path, small, scaled):
    """Joiners that exec, many more than have a place at a time: what they used stands in set-up, once."""
    _touch(tmp_path / "files", "before", "after")
    missed = small.watch.missed()
    with small.recording() as (cgroup, target):
        for _ in range(scaled(200, 50)):
            shell(
                cgroup,
                f"read line <{tmp_path}/files/after",
                before=f"read line <{tmp_path}/files/before;",
            )
            found = small.watch.read(target)
        assert found.losses == AccessLosses()
        assert _files(found.accesses, tmp_path / "files", Phase.SETUP) == {"before": READ}
        assert _files(found.accesses, tmp_path / "files") == {"after": READ}
        last = small.watch.read(target, final=True).accesses
        assert last == found.accesses
    assert small.watch.use()["accesses"][0] == 0
    assert small.watch.missed() == missed


def test_an_open_phase_is_left_out_until_it_is_known(tmp_path, small):
    """What a joiner uses is in a last reading alone; when it has ended without an exec it is workload."""
    _touch(tmp_path / "files", "joined")
    join = f'echo $$ >"{{}}/cgroup.procs"; read line <{tmp_path}/files/joined; echo done; read line; exit'
    with small.recording() as (cgroup, target):
        words = ["/bin/sh", "-c", join.format(cgroup)]
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as joiner:
            assert joiner.stdout.readline() == b"done\n"
            assert _files(small.watch.read(target).accesses, tmp_path / "files") == {}
            final = small.watch.read(target, final=True).accesses
            assert _files(final, tmp_path / "files") == {"joined": READ}
            changes = small.watch.changes(target)
        while small.watch.changes(target) == changes:
            time.sleep(0.01)  # until a second after it was seen first, by the watch's own rule
        found = small.watch.read(target).accesses
        assert _files(found, tmp_path / "files") == {"joined": READ}


def test_detached_nothing_is_seen(tmp_path, small):
    """And attached again it is; to look whether the kernel can leaves nothing attached."""
    _touch(tmp_path / "files", "first", "second", "third")
    with small.recording() as (cgroup, target), _reading(cgroup, tmp_path / "files") as reader:
        reader.read("first")
        small.watch.detach()
        small.watch.check()
        assert not small.watch.attached
        reader.read("second")
        small.watch.attach()
        reader.read("third")
        found = small.watch.read(target)
    assert _files(found.accesses, tmp_path / "files") == {"first": READ, "third": READ}


def test_whichever_is_attached_first(tmp_path, small):
    """The exec that starts the workload is the workload's, before and after the recorder of calls."""
    _touch(tmp_path / "files", "before", "after")
    for anew in (small.attach_calls_anew, small.watch.detach):
        anew()
        small.watch.attach()
        with small.recording() as (cgroup, target):
            text = "read line <{}/files/{};"
            shell(cgroup, text.format(tmp_path, "after"), before=text.format(tmp_path, "before"))
            found = small.watch.read(target)
        assert _files(found.accesses, tmp_path / "files") == {"after": READ}
        assert _files(found.accesses, tmp_path / "files", Phase.SETUP) == {"before": READ}
        assert _files(found.accesses, Path("/usr/bin"))["dash"] & FileRight.EXEC
        assert found.losses == AccessLosses()


def test_a_watch_outlives_its_process(tmp_path):
    """Killed; what is used meanwhile is in it; who comes next takes it over, but not with other bounds.

    It had attached it, and once before, when it had given up what an agent gives up.
    """
    _touch(tmp_path / "files", *"abcde")
    with contextlib.ExitStack() as stack:
        cgroup, folder = stack.enter_context(new_cgroup()), stack.enter_context(bpffs_in(tmp_path))
        calls, pinned = folder / "calls", folder / "accesses"
        number = cgroup.stat().st_ino
        command = [sys.executable, "-m", "tests.guest.inside.accesses.holder", folder, str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"pinned\n"
            reader = stack.enter_context(_reading(cgroup, tmp_path / "files"))
            reader.read("a")
            holder.kill()
        reader.read("b")

        def adopt_calls():
            return stack.enter_context(contextlib.closing(LibbpfBackend(syscalls_spec(BOUNDS), adopt=calls)))

        def adopt(backend, bounds=ACCESS_BOUNDS):
            return stack.enter_context(contextlib.closing(AccessWatch(backend, bounds, adopt=pinned)))

        backend = adopt_calls()
        for name in ("per_target", "lines"):
            other = dataclasses.replace(ACCESS_BOUNDS, **{name: getattr(ACCESS_BOUNDS, name) * 2})
            with pytest.raises(PinMismatch, match="made with other bounds"):
                adopt(backend, other)
        watch = adopt(backend)
        [target] = backend.targets()
        assert watch.attached
        reader.read("c")
        found = watch.read(target)
        assert _files(found.accesses, tmp_path / "files") == dict.fromkeys("abc", READ)
        assert found.losses == AccessLosses()
        assert watch.missed() == 0
        watch.drop(target)
        watch.close()
        backend.close()
        # Killed between drop and release; and then after the recorder of calls has given its slot back.
        watch = adopt(backend := adopt_calls())
        reader.read("d")
        assert _files(watch.read(target, final=True).accesses, tmp_path / "files") == dict.fromkeys(
            "abc", READ
        )
        assert watch.use()["accesses"][0] > 0
        backend.drop(target)
        backend.release(target)
        watch.close()
        backend.close()
        watch = adopt(backend := adopt_calls())
        assert watch.use()["accesses"][0] == watch.use()["lines"][0] == 0
        again = backend.add(number, SlotMode.MODE_EXEC)
        reader.read("e")
        assert _files(watch.read(again).accesses, tmp_path / "files") == {"e": READ}
        watch.detach()
        watch.close()
        # Another recorder of calls: the watch would not know its targets.
        backend.close()
        pins.unpin(calls)
        with (
            contextlib.closing(LibbpfBackend(syscalls_spec(BOUNDS))) as other,
            pytest.raises(PinMismatch, match="another recorder of calls"),
        ):
            AccessWatch(other, ACCESS_BOUNDS, adopt=pinned)
        assert pins.unpin(pinned)
