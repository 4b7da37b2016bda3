"""A folder of recordings: each file is one, known by its name, over edits, restarts and broken files."""

import os

import pytest

from recorder.collector.folders.recording_files import RecordingFiles
from recorder.model.errors import PlatformUnreachable
from recorder.model.recording import MergeStrategy

API = "security-profiles-operator.x-k8s.io/v1"


def text(name="web", *, namespace="", merge="None", labels="app: web", api=API, extra=""):
    place = f"  namespace: {namespace}\n" if namespace else ""
    return (
        f"apiVersion: {api}\nkind: ProfileRecording\nmetadata:\n  name: {name}\n{place}"
        f"spec:\n  kind: SeccompProfile\n  recorder: Bpf\n  mergeStrategy: {merge}\n"
        f"  podSelector:\n    matchLabels: {{{labels}}}\n{extra}"
    )


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "recordings"
    made.mkdir()
    return made


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state.json"


@pytest.fixture
def files(folder, state):
    return RecordingFiles(folder, state)


def only(mapping):
    [value] = mapping.values()
    return value


def test_each_file_is_a_recording(folder, files):
    """With and without a namespace, .yaml and .yml; files of other names, hidden ones, folders are none."""
    (folder / "a.yaml").write_text(text("a"))
    (folder / "b.yml").write_text(text("a", namespace="shop"))
    (folder / "c.txt").write_text(text("c"))
    (folder / ".d.yaml").write_text(text("d"))
    (folder / "e.yaml").mkdir()
    assert files.look()
    assert {(each.name.namespace, each.name.name) for each in files.recordings.values()} == {
        ("", "a"),
        ("shop", "a"),
    }
    assert all(identity == each.id != "" for identity, each in files.recordings.items())
    assert files.refused == {}
    assert not files.look()


def test_links_to_files_are_read(folder, files, tmp_path):
    """As a mounted ConfigMap has them."""
    (tmp_path / "real").write_text(text("web"))
    (folder / "web.yaml").symlink_to(tmp_path / "real")
    files.look()
    assert only(files.recordings).name.name == "web"


def test_an_edit_is_the_same_recording_of_another_generation(folder, files):
    """What was seen for it stays its own; a new file with the same content changes nothing."""
    (folder / "web.yaml").write_text(text())
    files.look()
    first = only(files.recordings)
    (folder / "web.yaml").write_text(text(merge="Containers"))
    assert files.look()
    second = only(files.recordings)
    assert (second.id, second.merge) == (first.id, MergeStrategy.CONTAINERS)
    assert (first.generation, second.generation) == (1, 2)
    (folder / "new").write_text(text(merge="Containers") + "# a comment\n")
    (folder / "new").rename(folder / "web.yaml")
    assert not files.look()
    assert only(files.recordings) == second


def test_a_restart_knows_them_again(folder, files, state):
    """By the file of ours: id and generation; an edit meanwhile is an edit."""
    (folder / "web.yaml").write_text(text())
    files.look()
    first = only(files.recordings)
    again = RecordingFiles(folder, state)
    again.look()
    assert only(again.recordings) == first
    (folder / "web.yaml").write_text(text(merge="Containers"))
    later = RecordingFiles(folder, state)
    later.look()
    assert (only(later.recordings).id, only(later.recordings).generation) == (first.id, 2)


def test_a_file_with_another_name_is_the_same_recording(folder, files):
    """It is known by the name in it."""
    (folder / "a.yaml").write_text(text())
    files.look()
    first = only(files.recordings)
    (folder / "a.yaml").rename(folder / "b.yaml")
    files.look()
    assert only(files.recordings) == first
    assert files.refused == {}


def test_a_recording_is_gone_after_two_looks_and_another_when_it_comes_back(folder, files):
    """An editor that takes the file away for a moment does not delete it."""
    (folder / "web.yaml").write_text(text())
    files.look()
    first = only(files.recordings)
    (folder / "web.yaml").unlink()
    assert not files.look()
    assert only(files.recordings) == first
    (folder / "web.yaml").write_text(text())
    assert not files.look()
    assert only(files.recordings) == first
    (folder / "web.yaml").unlink()
    files.look()
    assert files.look()
    assert files.recordings == {}
    (folder / "web.yaml").write_text(text())
    files.look()
    assert only(files.recordings).id != first.id


def test_a_half_written_file_changes_nothing_and_a_wrong_one_is_refused(folder, files):
    """The recording that was is refused only when a second look finds the file as it was; it keeps its id."""
    path = folder / "web.yaml"
    path.write_text(text())
    files.look()
    first = only(files.recordings)
    path.write_text(text()[:60])
    assert not files.look()
    path.write_text(text()[:90])
    assert not files.look()
    assert only(files.recordings) == first
    assert files.look()
    refused = only(files.refused)
    assert (files.recordings, refused.reason, refused.name) == ({}, "Invalid", first.name)
    assert refused.message.startswith("web.yaml: ")
    path.write_text(text())
    assert files.look()
    assert (only(files.recordings), files.refused) == (first, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no object"),
        ("a: b: c", "not YAML"),
        (text("web", extra="  podSelectors: {}\n"), "spec.podSelectors"),
        (text("web", merge="Pods"), "spec.mergeStrategy"),
        (text("Web"), "no name of an object"),
        (text("web", labels="'a b': c"), "spec.podSelector"),
        (text() + "---\n" + text("other"), "not YAML"),
    ],
)
def test_what_is_no_recording_is_refused_with_the_file_and_the_field(folder, files, content, message):
    """At the first look of all without a second one."""
    (folder / "web.yaml").write_text(content)
    files.look()
    refused = only(files.refused)
    assert files.recordings == {}
    assert refused.reason == "Invalid"
    assert refused.name.name in ("web", "web.yaml")
    assert refused.message.startswith("web.yaml: ")
    assert message in refused.message


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "/etc/passwd", "a_b", "A", "", "x" * 300])
def test_a_name_that_no_object_can_have_is_used_for_nothing(folder, files, name):
    """Else a status could be written anywhere: the file's own name is used instead."""
    (folder / "odd.yaml").write_text(text("placeholder").replace("placeholder", f"'{name}'"))
    (folder / "more.yaml").write_text(text("fine", namespace="placeholder").replace("placeholder", "'../x'"))
    files.look()
    assert files.recordings == {}
    assert {str(each.name) for each in files.refused.values()} == {"odd.yaml", "more.yaml"}


def test_two_files_with_one_name_are_one_recording_and_a_refusal(folder, files):
    """The first by the file's name; the other is refused until it is the only one."""
    (folder / "a.yaml").write_text(text())
    (folder / "b.yaml").write_text(text(merge="Containers"))
    files.look()
    first = only(files.recordings)
    assert (first.merge, only(files.refused).reason) == (MergeStrategy.NONE, "Duplicate")
    assert "b.yaml has the name of the recording in a.yaml" in only(files.refused).message
    (folder / "a.yaml").unlink()
    files.look()
    files.look()
    assert (only(files.recordings).merge, only(files.recordings).id) == (MergeStrategy.CONTAINERS, first.id)
    assert files.refused == {}


def test_a_wrong_file_takes_no_name_from_a_right_one(folder, files):
    """Whichever comes first."""
    (folder / "a.yaml").write_text(text(merge="Pods"))
    (folder / "b.yaml").write_text(text())
    files.look()
    assert only(files.recordings).name.name == "web"
    assert only(files.refused).reason == "Duplicate"


def test_files_that_are_none_harm_nobody(folder, files):
    """A pipe does not hold up the look; what is too large or no text is refused; the others are read."""
    os.mkfifo(folder / "pipe.yaml")
    (folder / "large.yaml").write_bytes(b"#" * (5 << 20))
    (folder / "binary.yaml").write_bytes(b"\xff\xfe")
    (folder / "web.yaml").write_text(text())
    files.look()
    assert only(files.recordings).name.name == "web"
    assert {each.name.name: each.reason for each in files.refused.values()} == {
        "large.yaml": "Unreadable",
        "binary.yaml": "Unreadable",
    }


def test_a_folder_that_is_away_deletes_nothing(folder, files):
    """It is an outage: what was asked is still asked, and goes on when it is back."""
    (folder / "web.yaml").write_text(text())
    files.look()
    first = only(files.recordings)
    folder.rename(folder.with_name("away"))
    for _ in range(3):
        with pytest.raises(PlatformUnreachable, match="No such file"):
            files.look()
    assert only(files.recordings) == first
    folder.with_name("away").rename(folder)
    assert not files.look()
    assert only(files.recordings) == first


def test_a_damaged_file_of_ours_makes_new_recordings(folder, files, state):
    """It is said in the log, and nothing fails."""
    (folder / "web.yaml").write_text(text())
    files.look()
    for damage in ("{", "[1]", '[{"name": "web"}]'):
        state.write_text(damage)
        again = RecordingFiles(folder, state)
        again.look()
        assert only(again.recordings).id != only(files.recordings).id
