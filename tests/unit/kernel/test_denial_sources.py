"""Which source of denials is taken, and why."""

import pytest

from recorder.kernel.denial_source import nothing_to_flush
from recorder.kernel.denial_sources import OPENERS, SOURCES, open_denials
from recorder.kernel.denials_layout import Module
from recorder.kernel.denials_spec import DenialBounds
from recorder.kernel.selinux_cache import flush_if_possible
from recorder.model.errors import NotPermitted, UnsupportedKernel, UsageError

BOUNDS = DenialBounds()


@pytest.fixture
def modules(tmp_path):
    """A file like the kernel's list of modules."""
    (tmp_path / "lsm").write_text("capability,apparmor")
    return tmp_path / "lsm"


def _opener(name, asked, error=None):
    def opened(module, bounds, flush):
        asked.append((name, module, flush))
        if error:
            raise error
        return name

    return opened


def test_the_first_that_works_and_why(modules):
    """Each that cannot is named with its reason."""
    asked = []
    openers = {
        "one": _opener("one", asked, UnsupportedKernel("no kprobes\nlog")),
        "two": _opener("two", asked),
        "three": _opener("three", asked),
    }
    found = open_denials("auto", BOUNDS, active_modules=modules, openers=openers)
    assert (found.source, found.module, found.why) == ("two", "apparmor", "since one cannot: no kprobes")
    assert asked == [(name, Module.MODULE_APPARMOR, nothing_to_flush) for name in ("one", "two")]
    found = open_denials("three", BOUNDS, active_modules=modules, openers=openers)
    assert (found.source, found.why) == ("three", "")


def test_none_works(modules):
    """All reasons are in the error; a missing privilege ends it at once."""
    openers = {name: _opener(name, [], UnsupportedKernel(f"not {name}")) for name in ("a", "b")}
    with pytest.raises(UnsupportedKernel, match="a cannot: not a; b cannot: not b"):
        open_denials("auto", BOUNDS, active_modules=modules, openers=openers)
    asked = []
    openers = {"a": _opener("a", asked, NotPermitted("no")), "b": _opener("b", asked)}
    with pytest.raises(NotPermitted):
        open_denials("auto", BOUNDS, active_modules=modules, openers=openers)
    assert len(asked) == 1


def test_names(modules):
    """Another name is refused with those that there are; auto tries the exact ones first."""
    assert SOURCES == ("auto", "lsm", "audit-log-end", "netlink") == ("auto", *OPENERS)
    with pytest.raises(UsageError, match="auto, lsm, audit-log-end, netlink"):
        open_denials("other", BOUNDS, active_modules=modules)


@pytest.mark.parametrize(("wanted", "flush"), [(True, flush_if_possible), (False, nothing_to_flush)])
def test_selinuxs_cache_is_emptied_if_wanted(tmp_path, wanted, flush):
    """It can be switched off."""
    (tmp_path / "lsm").write_text("capability,selinux")
    asked = []
    openers = {"one": _opener("one", asked)}
    open_denials("auto", BOUNDS, flush_selinux=wanted, active_modules=tmp_path / "lsm", openers=openers)
    assert asked == [("one", Module.MODULE_SELINUX, flush)]
