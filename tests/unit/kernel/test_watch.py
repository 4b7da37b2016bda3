"""Cgroups below watched ones get their slots by level and by name, from the kernel side alone."""

import contextlib

import pytest

from recorder.kernel.backend import WatchRule
from recorder.kernel.layout import EventKind, SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from recorder.model.abi import Abi
from recorder.model.errors import BpfLimit
from recorder.model.numbers import Numbers
from recorder.model.record import CallKey, Outcome, Phase

pytestmark = pytest.mark.root
MODE = SlotMode.MODE_CONTAINER


@pytest.fixture
def backend():
    with contextlib.closing(LibbpfBackend(syscalls_spec(Bounds(roots=8)))) as made:
        yield made


@pytest.fixture
def made(scratch_cgroup):
    """Makes directories below a scratch cgroup, which is removed with all below it."""
    root = scratch_cgroup()
    paths = []

    def make(name):
        paths.append(root / name)
        paths[-1].mkdir()
        return paths[-1]

    yield root, make
    for path in reversed(paths):
        if path.exists():
            path.rmdir()


def slots(backend, root):
    """Path below the root, and cgroup id, of each target."""
    return {target.path.rpartition(root.name + "/")[2]: target.cgroup_id for target in backend.targets()}


def inode(path):
    return path.stat().st_ino


def test_a_child_has_its_slot_and_its_path(backend, made):
    root, make = made
    backend.watch(inode(root), WatchRule(MODE))
    child = make("one")
    assert slots(backend, root) == {"one": inode(child)}
    assert not backend.read(backend.targets()[0]).late


def test_at_the_second_level_and_below_new_parents(backend, made):
    """As a pod's containers; a container's own cgroups are its own."""
    root, make = made
    backend.watch(inode(root), WatchRule(MODE, levels=2))
    pods = [make(name) for name in ("pod1", "pod2")]
    assert slots(backend, root) == {}
    assert backend.watched() == {inode(path) for path in (root, *pods)}
    containers = [make(name) for name in ("pod1/a", "pod1/b", "pod2/c")]
    make("pod2/c/inner")
    assert slots(backend, root) == {str(path.relative_to(root)): inode(path) for path in containers}
    kinds = [event.kind for event in backend.events() if event.kind != EventKind.EVENT_FIRST_SIGHT]
    assert kinds == [EventKind.EVENT_WATCH] * 2 + [EventKind.EVENT_BEGIN] * 3


def test_a_watched_parent_that_is_removed_is_watched_no_more(backend, made):
    root, make = made
    backend.watch(inode(root), WatchRule(MODE, levels=2))
    make("pod").rmdir()
    assert backend.watched() == {inode(root)}


def test_names_that_begin_otherwise_are_left_alone(backend, made):
    root, make = made
    backend.watch(inode(root), WatchRule(MODE, prefix=b"docker-"))
    for name in ("docker.service", "docker", "xdocker-1", "docke"):
        make(name)
    wanted = {name: inode(make(name)) for name in ("docker-1.scope", "docker-")}
    assert slots(backend, root) == wanted


def test_a_prefix_of_15_bytes_and_none_longer(backend, made):
    root, make = made
    backend.watch(inode(root), WatchRule(MODE, prefix=b"x" * 15))
    make("x" * 14 + "y")
    make("x" * 15 + "y")
    assert set(slots(backend, root)) == {"x" * 15 + "y"}
    with pytest.raises(BpfLimit):
        backend.watch(inode(root), WatchRule(MODE, prefix=b"x" * 16))


def test_watching_again_replaces_what_was_said(backend, made):
    """As for a parent that turned out to be one of pods' parents."""
    root, make = made
    backend.watch(inode(root), WatchRule(MODE))
    backend.watch(inode(root), WatchRule(MODE, levels=2))
    make("pod")
    assert slots(backend, root) == {}
    make("pod/a")
    assert set(slots(backend, root)) == {"pod/a"}


def test_no_place_for_a_new_parent_is_counted(backend, made):
    root, make = made
    backend.watch(inode(root), WatchRule(MODE, levels=2))
    pods = [make(f"pod{index}") for index in range(9)]
    assert backend.ledger().counts == {"roots_full": 2}
    assert backend.watched() == {inode(path) for path in (root, *pods[:7])}


def test_a_path_too_long_to_be_kept_is_none(backend, made):
    root, make = made
    backend.watch(inode(root), WatchRule(MODE))
    make("n" * 250)
    assert [target.path for target in backend.targets()] == [""]


def test_calls_in_flight_are_the_targets(backend, scratch_cgroup):
    """Those of each ABI; what no kernel has is not."""
    target = backend.add(inode(scratch_cgroup()), SlotMode.MODE_EXEC, late=True)
    keys = {abi: CallKey(abi, Phase.WORKLOAD, Outcome.ALLOWED) for abi in (Abi.X86_64, Abi.I386, Abi.X32)}
    seen = {
        keys[Abi.X86_64]: Numbers.of([0, 511]),
        keys[Abi.I386]: Numbers.of([3]),
        keys[Abi.X32]: Numbers.of([513]),
    }
    backend.see(target, seen | {keys[Abi.X86_64]: Numbers.of([0, 511, 600])})
    reading = backend.read(target)
    assert reading.late
    assert dict(reading.calls) == seen
    backend.drop(target)
    backend.release(target)
    other = backend.add(inode(scratch_cgroup()), SlotMode.MODE_EXEC)
    backend.see(target, seen)
    assert backend.read(other).calls == {}


def test_the_first_rule_that_fits_counts(backend, made):
    """As at the root of the tree, where directories of several runtimes stand side by side."""
    root, make = made
    exec_mode = SlotMode.MODE_EXEC
    backend.watch(
        inode(root),
        WatchRule(exec_mode, prefix=b"k8s.io-own"),
        WatchRule(MODE, levels=2, prefix=b"k8s.io"),
        WatchRule(MODE, levels=3, prefix=b"kubepods"),
    )
    for name in ("k8s.io", "k8s.io/a", "k8s.io-own", "kubepods", "kubepods/pod", "kubepods/pod/b", "other"):
        make(name)
    assert set(slots(backend, root)) == {"k8s.io/a", "k8s.io-own", "kubepods/pod/b"}


@pytest.mark.parametrize("count", [0, 9])
def test_a_root_has_1_to_8_rules(count, backend, made):
    root, _ = made
    with pytest.raises(BpfLimit, match=f"has {count} rules"):
        backend.watch(inode(root), *[WatchRule(MODE)] * count)
    assert backend.watched() == set()


def test_all_8_rules_are_looked_at(backend, made):
    root, make = made
    backend.watch(inode(root), *(WatchRule(MODE, prefix=bytes([97 + index])) for index in range(8)))
    for name in "abcdefghi":
        make(name)
    assert set(slots(backend, root)) == set("abcdefgh")
