"""Accesses: what makes two of them one, and joins that do not depend on order."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.model import accesses
from recorder.model.access import (
    MAX_ADDRESS,
    MAX_PATH,
    Capability,
    CapabilityRight,
    File,
    FileKind,
    FileRight,
    MessageQueue,
    Mount,
    MountStep,
    Peer,
    Ptrace,
    Signal,
    Socket,
    UnixSocket,
    UserNamespace,
)
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.first_sight import FirstSight
from recorder.model.record import Phase
from tests.unit.model.strategies import access_keys, seen_accesses, sights

ETC = File(b"/etc/hosts", kind=FileKind.REGULAR)


def of(*subjects, rights=1, phase=Phase.WORKLOAD):
    return Accesses({AccessKey(phase, each): Seen(rights) for each in subjects})


@given(seen_accesses)
def test_join_is_idempotent(a):
    """A repeated state changes nothing, nor does an empty one."""
    assert a.join(a) == a.join(Accesses()) == a


@given(seen_accesses, seen_accesses)
def test_join_is_commutative(a, b):
    """A state may be overtaken."""
    assert a.join(b) == b.join(a)


@given(seen_accesses, seen_accesses, seen_accesses)
def test_join_is_associative(a, b, c):
    """It does not matter where states meet."""
    assert a.join(b).join(c) == a.join(b.join(c))


@pytest.mark.parametrize("bound", [{"MAX_ACCESSES": 3}, {"MAX_TEXT": 12}, {"MAX_ACCESSES": 2, "MAX_TEXT": 9}])
@settings(max_examples=50)
@given(data=st.data())
def test_bounds_keep_the_laws(bound, data):
    """Whatever the order of joins, the same entries are kept, never more than the bound, and it is said."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bound.items():
            patch.setattr(accesses, name, value)
        states = st.dictionaries(access_keys, st.builds(Seen, st.integers(0, 7)), max_size=5).map(Accesses)
        a, b, c = data.draw(states), data.draw(states), data.draw(states)
        joined = a.join(b).join(c)
        assert joined == a.join(b.join(c)) == c.join(b).join(a) == joined.join(b)
        assert len(joined.entries) <= bound.get("MAX_ACCESSES", 15)
        whole = {**a.entries, **b.entries, **c.entries}
        if not any((a.cut_at, b.cut_at, c.cut_at)):
            assert bool(joined.cut_at) == (len(joined.entries) < len(whole))


def test_rights_of_one_subject_are_united():
    """A file that is executed here and written there keeps both, and its earliest sight."""
    read = Accesses({AccessKey(Phase.WORKLOAD, ETC): Seen(FileRight.EXEC, FirstSight(9, b"b"))})
    written = Accesses({AccessKey(Phase.WORKLOAD, ETC): Seen(FileRight.WRITE, FirstSight(5, b"a"))})
    assert dict(read.join(written).of(Phase.WORKLOAD)) == {
        ETC: Seen(FileRight.EXEC | FileRight.WRITE, FirstSight(5, b"a"))
    }


def test_phases_stay_apart():
    """What the runtime did is not the workload's."""
    both = of(ETC, phase=Phase.SETUP).join(of(File(b"/bin/sh")))
    assert [subject for subject, _ in both.of(Phase.WORKLOAD)] == [File(b"/bin/sh")]
    assert [subject for subject, _ in both.of(Phase.SETUP)] == [ETC]


def test_entries_are_sorted_whatever_their_kind_and_absent_fields():
    """By phase, kind and fields: a known peer comes after an unknown one."""
    subjects = [
        File(b"/a"),
        File(b"/b", target=b"/c"),
        Socket(2, 1, 6),
        UnixSocket(1, b"\0bus"),
        UnixSocket(1, b"\0bus", peer=Peer(True)),
        Signal(15),
        Ptrace(Peer(inside=True)),
        Mount(MountStep.MOUNT, b"tmpfs", b"/mnt", b"tmpfs"),
        Capability(7),
        UserNamespace(),
        MessageQueue(b"/q"),
    ]
    assert [each for each, _ in of(*reversed(subjects)).of(Phase.WORKLOAD)] == subjects


def test_numbers_of_a_newer_recorder_are_kept():
    """An unknown right, kind and phase are state like any other, and an enum equals its number."""
    strange = Accesses({AccessKey(9, File(b"/x", kind=77)): Seen(1 << 40)})
    assert strange.join(strange).entries == {AccessKey(9, File(b"/x", kind=77)): Seen(1 << 40)}
    named = AccessKey(Phase.WORKLOAD, File(b"/x", kind=FileKind.FIFO))
    assert accesses.digest_of(named) == accesses.digest_of(AccessKey(2, File(b"/x", kind=5)))


def test_capability_tells_granted_from_refused():
    """Both can be true of one capability."""
    chown = Capability(0)
    both = of(chown, rights=CapabilityRight.GRANTED).join(of(chown, rights=CapabilityRight.REFUSED))
    assert [seen.rights for _, seen in both.of(Phase.WORKLOAD)] == [3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: File(b"/" * (MAX_PATH + 1)),
        lambda: File(b"/a\0b"),
        lambda: File(b"/a", target=b"\0"),
        lambda: UnixSocket(1, b"\0" * (MAX_ADDRESS + 1)),
        lambda: Mount(MountStep.MOUNT, file_system=b"x" * 256),
        lambda: Peer(label=b"a\0"),
        lambda: Accesses(cut_at=b"123"),
    ],
)
def test_what_no_kernel_says_is_refused(make):
    """Longer than the kernel has it, or with a NUL where it ends a text."""
    with pytest.raises(ValueError, match=r"access"):
        make()


def test_a_path_socket_may_have_a_path_of_any_length():
    """The address that was bound is relative and short; the path from the root need not be."""
    assert len(UnixSocket(1, b"/" + b"a" * 3000).address) == 3001


@given(sights)
def test_values_are_frozen(sight):
    """Nothing changes once it was seen."""
    seen = Seen(1, sight)
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen.rights = 2
