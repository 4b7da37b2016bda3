"""The cgroup of a run, its note, and the removal of what killed runs left."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recorder.containers import run
from recorder.containers.cgroup import own_cgroup
from recorder.containers.run import RunCgroup, remove_stale
from recorder.model.errors import NotPermitted
from tests.member import Guest

pytestmark = pytest.mark.root


@pytest.fixture
def notes(tmp_path):
    return tmp_path / "notes"


@pytest.fixture
def dead():
    """The name of a run whose recorder is gone: a process id that was used, and is not any more."""
    process = subprocess.Popen(["true"])
    process.wait()
    return f"recorder-{process.pid}-1"


def note(notes: Path, name: str, path: object) -> Path:
    notes.mkdir(exist_ok=True)
    (notes / name).write_text(str(path))
    return notes / name


def start_time(pid: int | str) -> str:
    """Field 22 of /proc/PID/stat (proc(5)), by another way than the product's."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat[stat.rindex(")") + 2 :].split(" ")[22 - 3]


def test_a_run_has_a_cgroup_below_ours_and_a_note_of_it(notes):
    place = RunCgroup(notes)
    try:
        name = f"recorder-{os.getpid()}-{start_time('self')}"
        assert place.cgroup.path == own_cgroup().path / name
        assert place.cgroup.path.is_dir()
        assert [path.name for path in notes.iterdir()] == [name]
        assert (notes / name).read_text() == str(place.cgroup.path)
    finally:
        assert place.remove()
    assert not place.cgroup.path.exists()
    assert list(notes.iterdir()) == []
    assert place.remove(), "it may be repeated"


def test_a_run_whose_tasks_are_left_keeps_its_note(notes):
    place = RunCgroup(notes)
    with Guest(place.cgroup.path):
        assert not place.remove()
        assert len(list(notes.iterdir())) == 1
    assert place.remove()
    assert list(notes.iterdir()) == []


def test_the_note_comes_before_the_cgroup_and_goes_if_there_is_none(notes, monkeypatch):
    """Killed in between, a run leaves a note without a cgroup, never a cgroup without a note."""
    seen = []

    def refuse(parent, name):
        seen.extend(path.name for path in notes.iterdir())
        raise NotPermitted(f"no {name}")

    monkeypatch.setattr(run, "make_cgroup", refuse)
    with pytest.raises(NotPermitted):
        RunCgroup(notes)
    assert len(seen) == 1
    assert list(notes.iterdir()) == []


def test_notes_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotPermitted, match=r"cannot write .*/file/notes/recorder-.*: Not a directory"):
        RunCgroup(tmp_path / "file" / "notes")


def test_what_a_dead_run_left_is_removed(notes, dead, scratch_cgroup):
    """The cgroup, those below it, and the note."""
    cgroup = scratch_cgroup(dead)
    (cgroup / "below").mkdir()
    left = note(notes, dead, cgroup)
    remove_stale(notes)
    assert not cgroup.exists()
    assert not left.exists()


def test_what_a_dead_runs_command_still_uses_is_left(notes, dead, scratch_cgroup):
    """With the empty cgroups below it; it goes when the last task has gone."""
    cgroup = scratch_cgroup(dead)
    (cgroup / "below").mkdir()
    left = note(notes, dead, cgroup)
    with Guest(cgroup):
        remove_stale(notes)
        assert (cgroup / "below").is_dir()
        assert left.exists()
    remove_stale(notes)
    assert not cgroup.exists()
    assert not left.exists()


def test_a_living_recorders_cgroup_is_left(notes, scratch_cgroup):
    """Empty as it is: its COMMAND may not have joined yet."""
    name = f"recorder-{os.getpid()}-{start_time('self')}"
    cgroup = scratch_cgroup(name)
    kept = note(notes, name, cgroup)
    remove_stale(notes)
    assert cgroup.is_dir()
    assert kept.exists()


def test_a_process_id_that_was_used_again_is_not_the_recorder(notes, scratch_cgroup):
    """The same id with another start time: the recorder is dead."""
    name = f"recorder-{os.getpid()}-{int(start_time('self')) + 1}"
    cgroup = scratch_cgroup(name)
    left = note(notes, name, cgroup)
    remove_stale(notes)
    assert not cgroup.exists()
    assert not left.exists()


def test_a_comm_with_brackets_does_not_hide_the_start_time(notes, scratch_cgroup, tmp_path):
    """The comm stands in the middle of /proc/PID/stat, and may hold anything."""
    program = tmp_path / "a) S 1 (b"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([program, "100"]) as process:
        try:
            deadline = time.monotonic() + 10
            while "a) S 1 (b" not in Path(f"/proc/{process.pid}/stat").read_text():
                assert time.monotonic() < deadline
            name = f"recorder-{process.pid}-{start_time(process.pid)}"
            cgroup = scratch_cgroup(name)
            note(notes, name, cgroup)
            remove_stale(notes)
            assert cgroup.is_dir()
        finally:
            process.kill()
    remove_stale(notes)
    assert not cgroup.exists()


@pytest.mark.parametrize("where", ["elsewhere", "other name", "outside by dots", "empty", "relative"])
def test_a_note_that_leads_elsewhere_is_not_followed(
    *, where, notes, dead, scratch_cgroup, cgroup2, tmp_path
):
    """Only a folder of the note's own name below the cgroup v2 mount is ever removed."""
    outside = tmp_path / "outside" / dead
    (outside / "below").mkdir(parents=True)
    other = scratch_cgroup()
    path = {
        "elsewhere": outside,
        "other name": other,
        "outside by dots": Path(f"{cgroup2}/{os.path.relpath(outside, cgroup2)}"),
        "empty": "",
        "relative": dead,
    }[where]
    left = note(notes, dead, path)
    remove_stale(notes)
    assert (outside / "below").is_dir()
    assert other.is_dir()
    assert not left.exists(), "a note that is no use is not kept"


def test_a_note_whose_cgroup_never_came_to_be_is_removed(notes, dead, cgroup2):
    left = note(notes, dead, cgroup2 / dead)
    remove_stale(notes)
    assert not left.exists()


@pytest.mark.parametrize("name", ["other", "recorder-", "recorder-1", ".recorder-1-2"])
def test_files_of_other_names_are_left(name, notes, cgroup2):
    kept = note(notes, name, cgroup2 / name)
    remove_stale(notes)
    assert kept.exists()


def test_without_a_folder_of_notes_there_is_nothing_to_do(notes):
    remove_stale(notes)
    assert not notes.exists()


def test_a_note_that_another_run_removes_meanwhile_is_nobodys_error(notes, dead, cgroup2, monkeypatch):
    """Seen in the folder, and gone when it is read."""
    note(notes, dead, cgroup2 / dead)
    real = Path.read_text

    def gone(path, *arguments, **named):
        if path.parent == notes:
            path.unlink()
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, "read_text", gone)
    remove_stale(notes)
    assert list(notes.iterdir()) == []


def test_runs_that_start_at_once_tidy_up_together(notes, scratch_cgroup, cgroup2):
    """Six processes, thirty dead runs, half of them with a cgroup: none fails, all is gone."""
    first = 10_000_000 + 100 * os.getpid()  # above any process id, and no other test run's
    names = [f"recorder-{first + number}-5" for number in range(30)]
    cgroups = [scratch_cgroup(name) for name in names[::2]]
    for name in names:
        note(notes, name, cgroup2 / name)
    code = (
        "import sys; from pathlib import Path; from recorder.containers.run import remove_stale; "
        "sys.stdin.readline(); remove_stale(Path(sys.argv[1]))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, notes], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(6)
    ]
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert said == [b""] * 6
    assert [process.returncode for process in processes] == [0] * 6
    assert list(notes.iterdir()) == []
    assert not any(path.exists() for path in cgroups)
