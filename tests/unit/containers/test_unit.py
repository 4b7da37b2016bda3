"""Units of systemd by their names: which can be recorded, in which slices they are, what is watched."""

import pytest

from recorder.containers.root import WatchRoot
from recorder.containers.unit import slice_of, slice_parts, unit_cgroup, unit_name, unit_roots
from recorder.model.errors import UsageError


@pytest.mark.parametrize(
    ("text", "name"),
    [("nginx", "nginx.service"), ("a@1.service", "a@1.service"), ("session-2.scope", "session-2.scope")],
)
def test_a_service_needs_no_type(text, name):
    """As for systemctl."""
    assert unit_name(text) == name


@pytest.mark.parametrize(
    ("text", "says"),
    [("user.slice", "--cgroup"), ("nightly.timer", "service, scope"), ("a/b.service", "no unit")],
)
def test_what_has_no_processes_of_its_own_is_refused(text, says):
    """With what to do instead."""
    with pytest.raises(UsageError, match=says):
        unit_name(text)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("-.slice", []),
        ("system.slice", ["system.slice"]),
        ("a-b-c.slice", ["a.slice", "a-b.slice", "a-b-c.slice"]),
        (r"system-x\x2dy.slice", ["system.slice", r"system-x\x2dy.slice"]),
    ],
)
def test_where_a_slice_is(name, parts):
    """systemd.slice(5): a dash is a level."""
    assert slice_parts(name) == parts


def test_the_slice_without_a_systemd(monkeypatch):
    """systemd's defaults: system.slice, and for a template's instances one of their own."""
    monkeypatch.setenv("PATH", "/nonexistent")
    assert slice_of("web.service") == "system.slice"
    assert slice_of("my-web@1.service") == r"system-my\x2dweb.slice"


@pytest.mark.parametrize(
    ("made", "slice_name", "roots"),
    [
        (
            "system.slice",
            "system.slice",
            [
                WatchRoot("/system.slice", 1, "_a-long-name.se", "exec"),
                WatchRoot("/system.slice", 1, "a-long-name.ser", "exec"),
            ],
        ),
        ("system.slice", "system-web.slice", [WatchRoot("/system.slice", 2, "system-web.slic", "exec")]),
        ("a.slice", "b-c.slice", [WatchRoot("/", 3, "b.slice", "exec")]),
    ],
)
def test_what_is_watched(tmp_path, made, slice_name, roots):
    """The nearest directory that is there, so many levels above the unit."""
    (tmp_path / made).mkdir()
    assert sorted(unit_roots(tmp_path, "a-long-name.service", slice_name)) == roots


def test_a_unit_that_runs_is_found(tmp_path):
    """Wherever it is; its own cgroup, not one below it."""
    (tmp_path / "a.slice/a-b.slice/web.service/below").mkdir(parents=True)
    assert unit_cgroup(tmp_path, "web.service").name == "/a.slice/a-b.slice/web.service"
    assert unit_cgroup(tmp_path, "other.service") is None
