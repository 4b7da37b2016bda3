"""When SELinux's cache is emptied, and when it is left; a folder stands for selinuxfs."""

import pytest

from recorder.kernel.selinux_cache import flush_where_permissive


@pytest.fixture
def selinuxfs(tmp_path):
    (tmp_path / "booleans").mkdir()
    (tmp_path / "booleans" / "one").write_text("1 1\0")
    (tmp_path / "commit_pending_bools").write_text("")
    (tmp_path / "enforce").write_text("0")
    return tmp_path


def test_in_permissive_mode(selinuxfs):
    """Booleans are committed as they are."""
    assert flush_where_permissive(selinuxfs)
    assert (selinuxfs / "commit_pending_bools").read_text() == "1"


@pytest.mark.parametrize("mode", ["1", None])
def test_where_nothing_is_hidden(selinuxfs, mode):
    """Enforcing, or no SELinux: nothing is touched."""
    (selinuxfs / "enforce").unlink()
    if mode:
        (selinuxfs / "enforce").write_text(mode)
    assert flush_where_permissive(selinuxfs)
    assert (selinuxfs / "commit_pending_bools").read_text() == ""


def test_a_boolean_that_somebody_is_about_to_change(selinuxfs):
    """It would be changed by the commit: so it is not done, and that is said."""
    (selinuxfs / "booleans" / "two").write_text("0 1")
    assert not flush_where_permissive(selinuxfs)
    assert (selinuxfs / "commit_pending_bools").read_text() == ""


def test_what_may_not_be_written(selinuxfs):
    """Said, too."""
    (selinuxfs / "commit_pending_bools").unlink()
    (selinuxfs / "commit_pending_bools").mkdir()
    assert not flush_where_permissive(selinuxfs)
