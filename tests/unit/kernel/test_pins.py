"""Pinning and removing, by a library that refuses where the test wants it: all or nothing, no root needed."""

import contextlib
import errno
from pathlib import Path

import pytest

from recorder.kernel.pins import pin, unpin
from recorder.model.errors import BpfLoadError

MAPS = {"slots": 3, "table": 4}
PROGRAMS = {"on_exec": 5, "control": 6}


class Library:
    """bpf_obj_pin as a file, and a refusal at the n-th call."""

    def __init__(self, refused_at=0, code=-errno.EPERM):
        self.calls = 0
        self.refused_at = refused_at
        self.code = code

    def bpf_obj_pin(self, fd, path):
        self.calls += 1
        if self.calls == self.refused_at:
            return self.code
        Path(path.decode()).write_text(str(fd))
        return 0


def files(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_all_are_pinned_by_name(tmp_path):
    pin(Library(), tmp_path / "a" / "b", MAPS, PROGRAMS)
    assert files(tmp_path / "a" / "b") == {
        "maps/slots": "3",
        "maps/table": "4",
        "programs/on_exec": "5",
        "programs/control": "6",
    }
    assert (tmp_path / "a" / "b" / "links").is_dir()


@pytest.mark.parametrize("refused_at", [1, 2, 3, 4])
@pytest.mark.parametrize("folder", ["new", "new/deep", "old"])
def test_a_refusal_at_any_step_leaves_what_was_there(refused_at, folder, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "other").write_text("x")
    with pytest.raises(BpfLoadError, match="is it on a mounted bpffs"):
        pin(Library(refused_at), tmp_path / folder, MAPS, PROGRAMS)
    assert files(tmp_path) == {"old/other": "x"}
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["old", "other"]


def test_another_refusal_does_not_ask_for_a_bpffs(tmp_path):
    with pytest.raises(BpfLoadError, match=r"cannot pin slots at .*No space left") as caught:
        pin(Library(1, -errno.ENOSPC), tmp_path / "new", MAPS, PROGRAMS)
    assert "bpffs" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BpfLoadError, match=r"cannot pin below .*/file/held: Not a directory"):
        pin(Library(), tmp_path / "file" / "held", MAPS, PROGRAMS)


@pytest.mark.parametrize("kind", ["maps", "programs", "links"])
def test_a_folder_with_any_pins_is_refused_before_anything_is_done(kind, tmp_path):
    (tmp_path / "held" / kind).mkdir(parents=True)
    library = Library()
    with pytest.raises(BpfLoadError, match="holds pins already; adopt them, or remove them first"):
        pin(library, tmp_path / "held", MAPS, PROGRAMS)
    assert library.calls == 0
    assert (tmp_path / "held" / kind).is_dir()


def test_unpin_takes_links_first(tmp_path, monkeypatch):
    """So that no program runs on half of its maps."""
    pin(Library(), tmp_path / "held", MAPS, PROGRAMS)
    (tmp_path / "held" / "links" / "on_exec").write_text("7")
    order = []
    real = Path.unlink

    def note(path, missing_ok=False):
        order.append(path.parent.name)
        real(path, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", note)
    assert unpin(tmp_path / "held")
    assert order == ["links", "programs", "programs", "maps", "maps"]
    assert not (tmp_path / "held").exists()
    assert not unpin(tmp_path / "held")


def test_unpin_of_a_folder_without_pins_leaves_it(tmp_path):
    """Even if it is empty: it is not ours."""
    folder = tmp_path / "folder"
    folder.mkdir()
    assert not unpin(folder)
    assert folder.is_dir()


def test_unpin_leaves_what_is_not_ours_beside_the_pins(tmp_path):
    pin(Library(), tmp_path / "held", MAPS, PROGRAMS)
    (tmp_path / "held" / "other").write_text("x")
    assert unpin(tmp_path / "held")
    assert files(tmp_path) == {"held/other": "x"}
    assert [path.name for path in (tmp_path / "held").iterdir()] == ["other"]


def test_unpin_by_two_at_once_is_harmless(tmp_path, monkeypatch):
    """The entries are gone when the second comes to them."""
    pin(Library(), tmp_path / "held", MAPS, PROGRAMS)
    real = Path.iterdir

    def gone_after_the_look(path):
        entries = list(real(path))
        if path.name in ("maps", "programs"):
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    entry.unlink()
        return iter(entries)

    monkeypatch.setattr(Path, "iterdir", gone_after_the_look)
    assert unpin(tmp_path / "held")
    assert not (tmp_path / "held").exists()
