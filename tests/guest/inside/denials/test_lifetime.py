"""Which cgroups are watched, entries that are given back, a watch that outlives its process. AppArmor."""

import contextlib
import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recorder.kernel import pins
from recorder.kernel.denial_source import DenialLosses, Scope
from recorder.kernel.denials import DenialWatch
from recorder.kernel.denials_spec import DenialBounds, active_module, denials_spec
from recorder.model.errors import BpfLimit, PinMismatch
from tests.bpffs import bpffs_in
from tests.guest.inside.denials.confined import cgroup_id, confined, new_cgroup, profiles
from tests.guest.inside.denials.holder import BOUNDS

PROFILE = "living"


@pytest.fixture(autouse=True, scope="module")
def _profile():
    with profiles({PROFILE: ""}):
        yield


@pytest.fixture
def files(tmp_path):
    """Paths of files that are there."""
    paths = [tmp_path / f"file-{number}" for number in range(6)]
    for path in paths:
        path.write_text("")
    return [str(path) for path in paths]


@contextlib.contextmanager
def _sysctl(name, value):
    switch = Path("/proc/sys/kernel") / name
    before = switch.read_text()
    switch.write_text(value)
    try:
        yield
    finally:
        switch.write_text(before)


@contextlib.contextmanager
def _watching(bounds):
    with contextlib.closing(DenialWatch(denials_spec(active_module(), bounds))) as watch:
        watch.attach()
        yield watch


def _once(paths):
    return [word for path in paths for word in (path, 1)]


def _names(reading, paths):
    """How often each path was denied to be opened, for those that were."""
    assert reading is not None
    counts = dict.fromkeys(paths, 0)
    for each in reading.denials:
        name = each.details.name.content.decode()
        if name in counts:
            counts[name] += each.count
    return [number for number in counts.values() if number]


def test_what_is_released_is_used_again(tmp_path, files):
    """More denials of cgroups that come and go than there are entries: none is lost, or another's."""
    with _watching(DenialBounds(denials=8, per_cgroup=7, cgroups=1)) as watch:
        for turn in range(3):
            with new_cgroup() as cgroup:
                number = cgroup_id(cgroup)
                watch.watch(number)
                with pytest.raises(BpfLimit):
                    watch.watch(1)
                with confined(tmp_path / str(turn), PROFILE, cgroup, *_once(files)) as run:
                    run.go()
                    run.wait_done()
            assert [each.removed for each in watch.cgroups()] == [True]
            assert number in watch.changed()
            before = watch.read(number)
            watch.drop(number)
            after = watch.read(number)
            assert before.denials == after.denials
            assert after.cgroup.dropped
            assert _names(after, files) == [1] * 6
            assert {each.cgroup_id for each in after.denials} == {number}
            watch.release(number)
            assert watch.cgroups() == []
            assert watch.read(number) is None
            assert watch.entries() == []
        assert watch.changed() == frozenset()
        assert dataclasses.replace(watch.losses(), elsewhere=0) == DenialLosses()


def test_the_nearest_cgroup_that_is_watched_has_them(tmp_path, files):
    """A whole tree in one, each of a tree by itself, one that nobody watches; and which of them changed."""
    with contextlib.ExitStack() as stack:
        top = stack.enter_context(new_cgroup())
        whole, other = stack.enter_context(new_cgroup(top)), stack.enter_context(new_cgroup())
        inner = stack.enter_context(new_cgroup(whole))
        beside = stack.enter_context(new_cgroup(top))
        watch = stack.enter_context(_watching(DenialBounds(denials=64, per_cgroup=20, cgroups=3)))
        ids = {path: cgroup_id(path) for path in (top, whole, inner, beside, other)}
        watch.watch(ids[top], Scope.EACH)
        watch.watch(ids[whole])
        runs = {
            path: stack.enter_context(confined(tmp_path / str(number), PROFILE, path, *_once(files)))
            for number, path in enumerate((inner, beside, other))
        }
        for run in runs.values():
            run.change()
        for path, owner in ((inner, whole), (beside, beside)):
            watch.changed()
            runs[path].open(2)
            assert watch.changed() == {ids[owner]}
            assert _names(watch.read(ids[owner]), files) == [1, 1]
        before = watch.losses().elsewhere
        runs[other].open(2)
        assert watch.changed() == frozenset()
        assert watch.losses().elsewhere >= before + 2
        scopes = {each.cgroup_id: each.scope for each in watch.cgroups()}
        assert scopes == {ids[top]: Scope.EACH, ids[whole]: Scope.WHOLE, ids[beside]: Scope.OWN}
        # Without the one below, the one above has what comes.
        watch.drop(ids[whole])
        watch.release(ids[whole])
        runs[inner].open(4)
        assert _names(watch.read(ids[inner]), files) == [1, 1]
        # No place is left: that is counted.
        watch.watch(ids[top], Scope.EACH)
        runs[beside].open(3)
        assert _names(watch.read(ids[beside]), files) == [1, 1, 1]
        assert dataclasses.replace(watch.losses(), elsewhere=0, ring_full=0) == DenialLosses()


def test_given_back_again_and_again_in_the_middle_of_a_flood(tmp_path, files, scaled):
    """Each denial is in the reading of one of the epochs, or counted as one that came in between."""
    times = scaled(500_000, 5_000)
    with new_cgroup() as cgroup, _watching(DenialBounds(denials=16, per_cgroup=8, cgroups=2)) as watch:
        number = cgroup_id(cgroup)
        watch.watch(number)
        with confined(tmp_path / "1", PROFILE, cgroup, files[0], times) as run:
            run.change()
            run.start()
            total, epochs = 0, set()
            while run.running or watch.cgroups():
                ending = not run.running
                watch.drop(number)
                reading = watch.read(number)
                total += sum(_names(reading, files))
                epochs.add(reading.cgroup.epoch)
                watch.release(number)
                if ending:
                    break
                watch.watch(number)
                time.sleep(0.02)
        losses = watch.losses()
    # Between release and watch it is nobody's.
    assert total + losses.between + losses.elsewhere == times
    assert len(epochs) >= 3
    assert total > 0
    assert dataclasses.replace(losses, between=0, elsewhere=0, ring_full=0) == DenialLosses()


def test_a_watch_outlives_its_process(tmp_path, files):
    """Killed; what is denied meanwhile is in it; who comes next takes it over, but not with other bounds."""
    module = active_module()
    with contextlib.ExitStack() as stack:
        cgroup, folder = (
            stack.enter_context(new_cgroup()),
            stack.enter_context(bpffs_in(tmp_path)) / "denials",
        )
        number = cgroup_id(cgroup)
        run = stack.enter_context(confined(tmp_path / "1", PROFILE, cgroup, *_once(files)))
        run.change()
        command = [sys.executable, "-m", "tests.guest.inside.denials.holder", folder, str(number)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
            assert holder.stdout.readline() == b"pinned\n"
            run.open(2)
            holder.kill()
        stack.callback(pins.unpin, folder)
        run.open(3)
        for name in ("denials", "per_cgroup", "cgroups", "ring_bytes"):
            other = dataclasses.replace(BOUNDS, **{name: getattr(BOUNDS, name) * 2})
            with pytest.raises(PinMismatch, match="made with other bounds"):
                DenialWatch(denials_spec(module, other), adopt=folder)
        with contextlib.closing(DenialWatch(denials_spec(module, BOUNDS), adopt=folder)) as watch:
            assert watch.attached
            assert _names(watch.read(number), files) == [1, 1, 1]
            run.open(4)
            watch.drop(number)
        # Killed between drop and release: the next one sees that, and ends it.
        with contextlib.closing(DenialWatch(denials_spec(module, BOUNDS), adopt=folder)) as watch:
            assert [each.dropped for each in watch.cgroups()] == [True]
            assert _names(watch.read(number), files) == [1, 1, 1, 1]
            watch.release(number)
            watch.watch(number)
            run.open(5)
            assert _names(watch.read(number), files) == [1]
            watch.detach()
        with contextlib.closing(DenialWatch(denials_spec(module, BOUNDS), adopt=folder)) as watch:
            assert not watch.attached
        assert pins.unpin(folder)
        assert not folder.exists()


def test_without_denials_no_program_runs(tmp_path):
    """Not once while something is compiled, by the kernel's own numbers; and once for each denial."""
    source = tmp_path / "source.c"
    source.write_text('#include <stdio.h>\nint main(void) { return puts("compiled") < 0; }\n')
    with new_cgroup() as cgroup, _watching(DenialBounds()) as watch, _sysctl("bpf_stats_enabled", "1"):
        watch.watch(1, Scope.EACH)
        subprocess.run(["gcc", "-O2", source, "-o", tmp_path / "program"], check=True, timeout=120)
        assert (
            subprocess.run([tmp_path / "program"], stdout=subprocess.PIPE, check=True).stdout == b"compiled\n"
        )
        assert {name: count for name, (_, count) in watch.runs().items()} == dict.fromkeys(watch.runs(), 0)
        with confined(tmp_path / "1", PROFILE, cgroup, str(source), 10) as run:
            run.go()
            run.wait_done()
        assert watch.runs()["on_apparmor"][1] >= 10


def test_attached_by_who_has_given_up_its_privileges(tmp_path, files):
    """Once and again, where perf events need more than the agent keeps: they were opened before."""
    with new_cgroup() as cgroup, _sysctl("perf_event_paranoid", "3"):
        command = [sys.executable, "-m", "tests.guest.inside.denials.dropped", str(cgroup_id(cgroup))]
        with (
            confined(tmp_path / "1", PROFILE, cgroup, *_once(files)) as run,
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watching,
        ):
            run.change()
            for number, (attached, count) in enumerate([("True", 2), ("False", 2), ("True", 4)], 1):
                assert watching.stdout.readline() == f"{attached}\n"
                run.open(2 * number)
                watching.stdin.write("\n")
                watching.stdin.flush()
                assert watching.stdout.readline() == f"{count}\n"
            assert watching.wait(60) == 0
