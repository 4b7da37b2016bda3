"""The agent's state: whole or reported, whatever happened to the process that wrote it."""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recorder.agent.state import CaptureState, Found, Loaded, State, StateFile, TargetState
from recorder.kernel.backend import Target
from recorder.model.errors import StorageError
from recorder.model.ledger import Ledger
from recorder.model.record import Identity, Pod, Source
from recorder.rpc.v1.agent_pb2 import CaptureRequest, Selection
from recorder.rpc.v1.collector_pb2 import LabelSelector, Plan, PlannedRecording
from tests.agent.storage import as_nobody, killed_writer, remount, small_filesystem
from tests.unit.model.strategies import UINT64, identities, ledgers

texts = st.text(st.characters(codec="utf-8"), max_size=5)
numbers = st.integers(0, UINT64)
short = st.integers(0, 2**32 - 1)
ids = st.lists(texts, max_size=3).map(tuple)
plans = st.builds(
    lambda revision, each: Plan(
        revision=revision,
        recordings=[
            PlannedRecording(id=name, selector=LabelSelector(match_labels={"a": name})) for name in each
        ],
    ),
    texts,
    ids,
)
captures = st.builds(
    CaptureState,
    texts,
    st.builds(
        lambda path, name: CaptureRequest(selection=Selection(cgroup=path), capture_id=name), texts, texts
    ),
    numbers,
)


@st.composite
def targets(draw):
    cgroup_id = draw(numbers)
    return TargetState(
        Target(draw(short), draw(short), cgroup_id),
        Source(draw(texts), draw(texts), cgroup_id, draw(numbers)),
        draw(st.booleans()),
        draw(ledgers),
        draw(identities),
        draw(ids),
        draw(ids),
    )


states = st.builds(
    State,
    st.lists(captures, max_size=3).map(tuple),
    st.none() | plans,
    st.lists(targets(), max_size=3).map(tuple),
)


def state(number, size=3):
    """A state that says which one it is, in all of its parts."""
    return State(
        tuple(
            CaptureState(
                f"{number}-{each}", CaptureRequest(selection=Selection(container=f"c{number}")), number
            )
            for each in range(size)
        ),
        Plan(revision=str(number)),
        tuple(
            TargetState(
                Target(each, number, number),
                Source("node", "boot", number, number),
                True,
                Ledger({"slots_full": number + 1}),
                Identity(f"c{number}", pod=Pod("ns", f"p{number}")),
            )
            for each in range(size)
        ),
    )


@given(states)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_saved_is_loaded(tmp_path_factory, saved):
    """Each field, by the next process."""
    folder = tmp_path_factory.mktemp("state")
    StateFile(folder, "boot").save(saved)
    assert StateFile(folder, "boot").load() == Loaded(saved, Found.WHOLE)


def test_the_last_save_counts(tmp_path):
    """It replaces the one before; loading changes nothing."""
    file = StateFile(tmp_path / "s", "boot")
    file.save(state(1, 50))
    file.save(state(2))
    assert file.load() == file.load() == Loaded(state(2), Found.WHOLE)


def test_none_is_missing(tmp_path):
    """At the first start, and after `remove`, which may be repeated."""
    file = StateFile(tmp_path / "s", "boot")
    assert file.load() == Loaded(State(), Found.MISSING)
    file.save(state(1))
    file.remove()
    file.remove()
    assert file.load().found is Found.MISSING


def test_one_of_another_boot_is_not_used(tmp_path):
    """Its slots and times mean nothing any more."""
    StateFile(tmp_path / "s", "boot-1").save(state(1))
    assert StateFile(tmp_path / "s", "boot-2").load() == Loaded(State(), Found.OTHER_BOOT)


def test_a_damaged_one_is_set_aside(tmp_path, caplog):
    """Cut at any length or any byte changed: never a wrong state, and the file is kept to be looked at."""
    folder = tmp_path / "s"
    file = StateFile(folder, "boot")
    file.save(state(1))
    whole = (folder / "state").read_bytes()
    rng = random.Random(3)
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    for _ in range(50):
        changed = bytearray(whole)
        changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        damaged.append(bytes(changed))
    for content in damaged:
        (folder / "state").write_bytes(content)
        loaded = file.load()
        assert (loaded.state, loaded.found) == (State(), Found.DAMAGED)
        assert loaded.why
        assert (folder / "state.damaged").read_bytes() == content
        assert file.load().found is Found.MISSING
    assert len(caplog.records) == len(damaged)


@pytest.mark.parametrize("found", Found)
def test_adopted_slots_without_a_state_are_a_loss(found):
    """Nobody knows whose they are. Without any, nothing is lost."""
    loaded = Loaded(State(), found)
    assert loaded.ledger(adopted=False) == Ledger()
    losses = loaded.ledger(adopted=True).losses()
    assert losses == ({} if found is Found.WHOLE else {"restart_without_state": 1})


def test_a_kill_leaves_the_last_save_or_the_next(tmp_path, scaled):
    """A writer is killed again and again: what is loaded is whole, and not older than what it said."""
    folder = tmp_path / "state"
    rng = random.Random(11)
    last = -1
    for _ in range(scaled(300, 40)):

        def write(say, first=last + 1):
            file = StateFile(folder, "boot")
            for number in range(first, first + 100_000):
                file.save(state(number, 1 + number % 40))
                say(str(number))

        said = killed_writer(write, rng.randrange(1, 6), rng)
        last = int(said[-1])
        loaded = StateFile(folder, "boot").load()
        assert loaded.found is Found.WHOLE
        number = int(loaded.state.plan.revision)
        assert loaded.state == state(number, 1 + number % 40)
        assert last <= number <= last + 1
        last = number
    assert last > 100


def test_the_file_is_roots_alone(tmp_path):
    """It holds names and labels of other people's containers."""
    folder = tmp_path / "s"
    StateFile(folder, "boot").save(state(1))
    assert folder.stat().st_mode & 0o7777 == 0o700
    assert (folder / "state").stat().st_mode & 0o7777 == 0o600


@pytest.mark.root
def test_a_file_system_without_room_is_an_error_and_the_old_state_stays(tmp_path):
    """ENOSPC, then read-only; each says what it is."""
    with small_filesystem(tmp_path / "disk") as disk:
        file = StateFile(disk / "s", "boot")
        file.save(state(1))
        with pytest.raises(StorageError, match=r"cannot write .*/state: No space left on device; the folder"):
            file.save(state(2, 5000))
        assert file.load() == Loaded(state(1), Found.WHOLE)
        assert [path.name for path in (disk / "s").iterdir()] == ["state"]
        remount(disk, "ro")
        for attempt in (lambda: file.save(state(3)), file.remove):
            with pytest.raises(StorageError, match="Read-only file system"):
                attempt()
        assert file.load() == Loaded(state(1), Found.WHOLE)


@pytest.mark.root
def test_a_folder_without_permission_is_an_error(open_folder):
    """As somebody else than its owner."""
    file = StateFile(open_folder / "s", "boot")
    file.save(state(1))
    with as_nobody():
        for attempt in (file.load, lambda: file.save(state(2)), file.remove):
            with pytest.raises(StorageError, match=r"cannot (read|write|remove) .*: Permission denied"):
                attempt()
