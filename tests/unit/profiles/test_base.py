"""Base sets: which runtime and version they are for."""

import pytest

from recorder.model.abi import Abi
from recorder.model.errors import UsageError
from recorder.model.syscall import known_names
from recorder.profiles.base import BASES, CHOICES, NO_BASE, resolve_base
from recorder.profiles.base_sets import BASE_SETS

RUNC = resolve_base("runc")
CRUN = resolve_base("crun")


@pytest.mark.parametrize(
    ("runtime", "version", "name"),
    [
        ("runc", "1.1.5+ds1", "runc-1.1"),
        ("runc", "v1.3.2", "runc-1.1"),
        ("runc", "1.2.7", "runc-1.1"),
        ("runc", "1.0.0-rc93", "runc-1.1"),
        ("runc", "1.2.8", "runc-1.3.3"),
        ("runc", "1.3.3-rc.1", "runc-1.3.3"),
        ("runc", "1.3", "runc-1.3.3"),
        ("runc", "1.4.0", "runc-1.3.3"),
        ("runc", "2.0", "runc-1.3.3"),
        ("/usr/sbin/runc", "1.1.5", "runc-1.1"),
        ("io.containerd.runc.v2", "", "runc"),
        ("runc", "unknown", "runc"),
        ("crun", "1.8.1", "crun-1"),
        ("/usr/bin/crun", "", "crun"),
        ("youki", "0.3", "runc+crun"),
        ("", "", "runc+crun"),
        ("", "1.1.5", "runc+crun"),
    ],
)
def test_auto(runtime, version, name):
    """The runtime's own set; all its versions if that is not known; both runtimes if it is not."""
    assert resolve_base("auto", runtime, version).name == name


def test_auto_without_a_runtime_holds_every_set():
    """A profile of a command must work in whichever runtime it is then used."""
    assert resolve_base("auto").names == RUNC.names | CRUN.names
    assert all(resolve_base("auto").names >= resolve_base(name).names for name in BASES)


def test_newer_runc_needs_more():
    """The newer set holds the older one, and what opening /proc safely needs."""
    old, new = resolve_base("runc-1.1").names, resolve_base("runc-1.3.3").names
    assert new - old == {"mmap", "openat2", "statx"}
    assert old < new == RUNC.names


def test_both_of_what_either_would_do():
    """Which one runc calls depends on how it was built."""
    assert {"faccessat2", "getegid"} <= resolve_base("runc-1.1").names


def test_crun_set_is_for_run_start_and_exec():
    """create and start need pselect6, exec needs openat."""
    assert {"execve", "pselect6", "openat", "setresuid"} <= CRUN.names


@pytest.mark.parametrize(
    ("choice", "name"),
    [("none", "none"), ("runc-1.1.12", "runc-1.1"), ("runc-1.3.6", "runc-1.3.3"), ("crun-1.21", "crun-1")],
)
def test_explicit_choices(choice, name):
    """A choice wins over what is known of the runtime."""
    assert resolve_base(choice, "crun", "1.8.1").name == name


def test_none_is_empty():
    """For a profile that no container runtime installs."""
    assert resolve_base("none") is NO_BASE
    assert not NO_BASE.names


@pytest.mark.parametrize("choice", ["", "docker", "runc-", "runc-new", "crun-x", "youki-1.0", "RUNC"])
def test_unknown_choice_lists_the_choices(choice):
    """The message says what can be given."""
    with pytest.raises(UsageError) as error:
        resolve_base(choice)
    assert all(each in str(error.value) for each in CHOICES)


@pytest.mark.parametrize("name", sorted(BASE_SETS))
@pytest.mark.parametrize("abi", [Abi.X86_64, Abi.AARCH64])
def test_names_exist_on_64_bit_machines(name, abi):
    """A name that a table lacks would be skipped in silence by a runtime."""
    assert BASE_SETS[name].names <= set(known_names(abi).values())
