"""Pins: refused when they are not what this recorder pins, left as they are then, and removed as a whole."""

import contextlib
import dataclasses
import subprocess

import pytest

from recorder.kernel import layout, pins
from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import syscalls_spec
from recorder.model.errors import BpfLoadError, PinMismatch
from tests.kernel_objects import existing, left_of
from tests.leftovers.held import BOUNDS, holder, pinned
from tests.member import Member

pytestmark = pytest.mark.root

SPEC = syscalls_spec(BOUNDS)
OTHER_BOUNDS = {
    "slots": BOUNDS.slots * 2,
    "children": BOUNDS.children - 1,
    "joiners": BOUNDS.joiners + 1,
    "roots": BOUNDS.roots + 1,
    "ring_bytes": BOUNDS.ring_bytes * 2,
    "table_sets": 1,
    "denials": True,
}


@pytest.fixture
def left_behind(bpffs, scratch_cgroup):
    """The folder that a killed holder pinned, the holder, and the root that is watched."""
    root = scratch_cgroup()
    with holder(bpffs / "held", root, scratch_cgroup()) as held:
        held.kill()
    return bpffs / "held", held, root


def assert_goes_on(folder, root, program):
    """Still attached, and adoptable by who is right: a new cgroup below the root is recorded."""
    cgroup = root / "after"
    cgroup.mkdir()
    with Member(cgroup, program) as member:
        assert member.wait() == 0
    with contextlib.closing(LibbpfBackend(SPEC, adopt=folder)) as backend:
        (target,) = (each for each in backend.targets() if each.cgroup_id == cgroup.stat().st_ino)
        assert backend.read(target, final=True).calls


@pytest.mark.parametrize("bound", sorted(OTHER_BOUNDS))
def test_other_bounds_are_refused_and_nothing_is_removed(bound, left_behind, built_programs):
    folder, held, root = left_behind
    before = pinned(folder)
    other = syscalls_spec(dataclasses.replace(BOUNDS, **{bound: OTHER_BOUNDS[bound]}))
    with pytest.raises(PinMismatch, match="made with other bounds"):
        LibbpfBackend(other, adopt=folder)
    assert pinned(folder) == before
    assert held.objects <= existing()
    assert_goes_on(folder, root, built_programs["five"])


def test_every_bound_is_looked_at():
    """A bound that is new needs a case above; accesses are of an object beside, which nobody pins."""
    assert {*OTHER_BOUNDS, "accesses"} == {field.name for field in dataclasses.fields(BOUNDS)}


def test_another_layout_is_refused_and_nothing_is_removed(left_behind, built_programs):
    """The version word in the pinned map is another recorder's."""
    folder, held, _ = left_behind
    before = pinned(folder)
    counters = layout.Counters(layout=layout.LAYOUT_VERSION + 1, max_children=BOUNDS.children)
    value = [str(byte) for byte in bytes(counters)]
    where = ["bpftool", "map", "update", "pinned", folder / "maps" / "counters"]
    subprocess.run([*where, "key", "0", "0", "0", "0", "value", *value], check=True)
    with pytest.raises(PinMismatch, match=f"have layout {layout.LAYOUT_VERSION + 1}"):
        LibbpfBackend(SPEC, adopt=folder)
    assert pinned(folder) == before
    assert held.objects <= existing()


@pytest.mark.parametrize("kind", ["maps", "programs"])
def test_pins_that_are_not_whole_are_refused(kind, left_behind):
    """Any one of the maps and programs is missing: refused by name, and the others are left."""
    folder, _, _ = left_behind
    for path in sorted((folder / kind).iterdir()):
        away = folder.parent / f"away-{path.name}"
        path.rename(away)
        before = pinned(folder)
        with pytest.raises(PinMismatch, match=rf"{kind}/{path.name} cannot be opened .*not whole"):
            LibbpfBackend(SPEC, adopt=folder)
        assert pinned(folder) == before
        away.rename(path)
    LibbpfBackend(SPEC, adopt=folder).close()


def test_a_folder_without_pins_is_refused(bpffs):
    with pytest.raises(PinMismatch, match="cannot be opened"):
        LibbpfBackend(SPEC, adopt=bpffs / "nothing")


def test_a_missing_link_is_attached_anew(left_behind, built_programs):
    """Its maker was killed between two links: what is missing is attached and pinned by the adopter."""
    folder, _, root = left_behind
    (folder / "links" / "on_sys_enter").unlink()
    (folder / "links" / "on_exec").unlink()
    LibbpfBackend(SPEC, adopt=folder).close()
    assert sorted(path.name for path in (folder / "links").iterdir()) == sorted(SPEC.attach)
    assert_goes_on(folder, root, built_programs["five"])


def test_unpin_removes_all_and_may_be_repeated(left_behind):
    folder, held, _ = left_behind
    assert pins.unpin(folder)
    assert not folder.exists()
    assert left_of(held.objects) == frozenset()
    assert not pins.unpin(folder)


def test_unpin_removes_half_of_it_as_well(left_behind):
    """What an interrupted removal leaves: no links, some programs, all maps."""
    folder, held, _ = left_behind
    for path in [*(folder / "links").iterdir(), *list((folder / "programs").iterdir())[:3]]:
        path.unlink()
    (folder / "links").rmdir()
    assert pins.unpin(folder)
    assert not folder.exists()
    assert left_of(held.objects) == frozenset()


def test_unpin_leaves_what_is_not_ours(left_behind):
    folder, held, _ = left_behind
    (folder / "other").mkdir()
    assert pins.unpin(folder)
    assert [path.name for path in folder.iterdir()] == ["other"]
    assert left_of(held.objects) == frozenset()
    (folder / "other").rmdir()
    folder.rmdir()


def test_pinning_over_pins_is_refused_and_they_stay(left_behind, built_programs):
    folder, held, root = left_behind
    before = pinned(folder)
    backend = LibbpfBackend(SPEC)
    with contextlib.closing(backend), pytest.raises(BpfLoadError, match="holds pins already"):
        backend.pin(folder)
    assert pinned(folder) == before
    assert held.objects <= existing()
    assert_goes_on(folder, root, built_programs["five"])


def test_pinning_outside_a_bpffs_is_refused_and_leaves_nothing(tmp_path, scratch_cgroup):
    """The message asks for a bpffs; what was in the folder stays."""
    folder = tmp_path / "plain"
    folder.mkdir()
    (folder / "other").write_text("x")
    with contextlib.closing(LibbpfBackend(SPEC)) as backend:
        backend.watch(scratch_cgroup().stat().st_ino, WatchRule(SlotMode.MODE_EXEC))
        with pytest.raises(BpfLoadError, match="is it on a mounted bpffs"):
            backend.pin(folder)
        with pytest.raises(BpfLoadError, match="is it on a mounted bpffs"):
            backend.pin(tmp_path / "new" / "deep")
    assert [path.name for path in folder.iterdir()] == ["other"]
    assert not (tmp_path / "new").exists()


def test_a_failed_pin_leaves_the_recording_as_it_was(tmp_path, scratch_cgroup, built_programs):
    """Not pinned, but attached: the recording in hand goes on."""
    cgroup = scratch_cgroup()
    with contextlib.closing(LibbpfBackend(SPEC)) as backend:
        target = backend.add(cgroup.stat().st_ino, SlotMode.MODE_EXEC)
        with pytest.raises(BpfLoadError):
            backend.pin(tmp_path)
        with Member(cgroup, built_programs["five"]) as member:
            assert member.wait() == 0
        assert backend.read(target, final=True).calls
        backend.drop(target)
        backend.release(target)
