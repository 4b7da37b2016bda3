"""When SELinux's cache is emptied, and when it is left; a folder stands for selinuxfs."""

import pytest

from recorder.kernel.selinux_cache import flush_if_possible


@pytest.fixture
def selinuxfs(tmp_path):
    (tmp_path / "booleans").mkdir()
    (tmp_path / "booleans" / "one").write_text("1 1\0")
    (tmp_path / "commit_pending_bools").write_text("")
    (tmp_path / "enforce").write_text("1")
    return tmp_path


def test_booleans_are_committed_as_they_are(selinuxfs):
    """Whatever the mode: a single domain may be permissive."""
    assert flush_if_possible([selinuxfs])
    assert (selinuxfs / "commit_pending_bools").read_text() == "1"


def test_where_it_is_mounted(selinuxfs, tmp_path):
    """The first place that has it; nowhere is said, too."""
    assert not flush_if_possible([tmp_path / "none", tmp_path / "neither"])
    assert flush_if_possible([tmp_path / "none", selinuxfs])
    assert (selinuxfs / "commit_pending_bools").read_text() == "1"


def test_a_boolean_that_somebody_is_about_to_change(selinuxfs):
    """It would be changed by the commit: so it is not done, and that is said."""
    (selinuxfs / "booleans" / "two").write_text("0 1")
    assert not flush_if_possible([selinuxfs])
    assert (selinuxfs / "commit_pending_bools").read_text() == ""


def test_a_policy_without_booleans(selinuxfs):
    """The kernel does nothing then: it is not said to be done."""
    (selinuxfs / "booleans" / "one").unlink()
    assert not flush_if_possible([selinuxfs])


def test_what_may_not_be_written(selinuxfs):
    """Said, too."""
    (selinuxfs / "commit_pending_bools").unlink()
    (selinuxfs / "commit_pending_bools").mkdir()
    assert not flush_if_possible([selinuxfs])
