"""What is loaded to watch denials, and for which security module."""

import pytest

from recorder.kernel import denials_spec as denials_module
from recorder.kernel.denials_layout import Module
from recorder.kernel.denials_spec import DenialBounds, active_module, denials_spec
from recorder.kernel.kprobes import kprobe_type
from recorder.kernel.security_modules import SecurityModule
from recorder.model.errors import BpfLimit, UnsupportedKernel


@pytest.mark.parametrize(
    ("text", "module"),
    [
        ("lockdown,capability,landlock,yama,apparmor,bpf", Module.MODULE_APPARMOR),
        ("capability,selinux\n", Module.MODULE_SELINUX),
    ],
)
def test_the_active_module(tmp_path, text, module):
    """As the kernel lists them."""
    (tmp_path / "lsm").write_text(text)
    assert active_module(tmp_path / "lsm") == module


def test_the_active_module_in_a_container(tmp_path, monkeypatch):
    """The kernel's own list is not to be seen there: what else says it is asked."""
    monkeypatch.setattr(denials_module, "ACTIVE_MODULES", tmp_path / "none")
    monkeypatch.setattr(denials_module, "security_modules", lambda: (SecurityModule("apparmor"),))
    assert active_module(tmp_path / "none") == Module.MODULE_APPARMOR


def test_no_module_is_an_error_that_says_what_to_do(tmp_path):
    """Neither of the two, or no securityfs."""
    (tmp_path / "lsm").write_text("capability,yama")
    with pytest.raises(UnsupportedKernel, match=r"capability, yama.*boot with"):
        active_module(tmp_path / "lsm")
    with pytest.raises(UnsupportedKernel, match="mount securityfs"):
        active_module(tmp_path / "none")


def test_no_kprobes_is_an_error_that_says_what_to_do(tmp_path):
    """The kernel's list of PMUs has none."""
    with pytest.raises(UnsupportedKernel, match="CONFIG_KPROBES"):
        kprobe_type(tmp_path / "none")


@pytest.mark.parametrize(
    ("module", "preemptible", "attached"),
    [
        (Module.MODULE_APPARMOR, False, ("on_apparmor",)),
        (Module.MODULE_APPARMOR, True, ("on_apparmor",)),
        (Module.MODULE_SELINUX, False, ("on_selinux", "on_selinux_call")),
        (Module.MODULE_SELINUX, True, ("on_selinux_classic", "on_selinux_call")),
    ],
)
def test_only_the_active_modules_programs_are_loaded(module, preemptible, attached):
    """Removals are seen before denials; the tracepoint before the call that keeps something for it."""
    spec = denials_spec(
        module, DenialBounds(denials=10, per_cgroup=4, cgroups=3), seed=0x1_0000_0002, preemptible=preemptible
    )
    assert spec.attach == ("on_removed", *attached)
    assert spec.programs == (*spec.attach, "control")
    assert {*spec.unused} == {"on_apparmor", "on_selinux", "on_selinux_classic", "on_selinux_call"} - {
        *attached
    }
    assert {*spec.kprobes} == {*attached} & {"on_apparmor", "on_selinux_call"}
    assert {*spec.events} == {*attached} & {"on_selinux_classic"}
    assert spec.constants == {
        "max_denials": 10,
        "max_denials_of_cgroup": 4,
        "max_owners": 3,
        "seed_low": 2,
        "seed_high": 1,
    }


@pytest.mark.parametrize(
    "bounds", [{"denials": 0}, {"per_cgroup": 0}, {"cgroups": 0}, {"ring_bytes": 5000}, {"ring_bytes": 64}]
)
def test_bounds_that_cannot_be(bounds):
    """Refused before anything is loaded."""
    with pytest.raises(BpfLimit):
        DenialBounds(**bounds)
