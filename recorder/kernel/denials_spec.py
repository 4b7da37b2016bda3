"""What is to be loaded to watch denials: sizes, constants, what to attach."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from recorder.kernel import denials_layout as layout
from recorder.kernel.denials_layout import Module
from recorder.kernel.preemption import programs_are_preemptible
from recorder.kernel.security_modules import security_modules
from recorder.kernel.spec import PAGE, object_path
from recorder.model.errors import BpfLimit, UnsupportedKernel

ACTIVE_MODULES = Path("/sys/kernel/security/lsm")
AUDIT_FUNCTION = "common_lsm_audit"
_NAMES = {"apparmor": Module.MODULE_APPARMOR, "selinux": Module.MODULE_SELINUX}


@dataclass(frozen=True, slots=True)
class DenialBounds:
    """How much memory the kernel side may take.

    denials: entries of all cgroups; per_cgroup: of one, and one more for the rest; cgroups:
    that are watched or have entries; ring_bytes: a power of 2, at least a page.
    """

    denials: int = 1024
    per_cgroup: int = 256
    cgroups: int = 1024
    ring_bytes: int = PAGE

    def __post_init__(self) -> None:
        for name in ("denials", "per_cgroup", "cgroups"):
            if getattr(self, name) < 1:
                raise BpfLimit(f"{name}: {getattr(self, name)} is not at least 1")
        if self.ring_bytes < PAGE or self.ring_bytes & (self.ring_bytes - 1):
            raise BpfLimit(f"ring_bytes: {self.ring_bytes} is not a power of 2 of at least {PAGE}")


@dataclass(frozen=True, slots=True)
class DenialsSpec:
    """As ObjectSpec, for this object. kprobes, events: what is attached how, as there."""

    path: Path
    module: Module
    max_entries: Mapping[str, int]
    constants: Mapping[str, int]
    attach: tuple[str, ...]
    control: str
    kprobes: Mapping[str, str]
    events: Mapping[str, str]
    unused: tuple[str, ...]
    bounds: DenialBounds
    structs: Mapping[str, type[ctypes.Structure]] = field(default_factory=lambda: layout.STRUCTS, repr=False)
    enums: Mapping[str, type[IntEnum]] = field(default_factory=lambda: layout.ENUMS, repr=False)

    @property
    def programs(self) -> tuple[str, ...]:
        """All that are used."""
        return (*self.attach, self.control)


def active_module(listed: Path = ACTIVE_MODULES) -> Module:
    """Which of the two this kernel runs. Raises UnsupportedKernel if neither.

    Only one of them can be active: both want the same place in the kernel (LSM_FLAG_EXCLUSIVE).
    """
    try:
        names = listed.read_text().strip().split(",")
    except OSError as error:
        # In a container there is no securityfs, and other files say it of these two.
        names = [each.name for each in security_modules()] if listed == ACTIVE_MODULES else []
        if not names:
            raise UnsupportedKernel(
                f"cannot read which security modules are active: {listed}: {error.strerror}; "
                "mount securityfs: mount -t securityfs securityfs /sys/kernel/security"
            ) from error
    for name in names:
        if name in _NAMES:
            return _NAMES[name]
    raise UnsupportedKernel(
        f"neither AppArmor nor SELinux is active (active: {', '.join(names)}); boot with one of them, "
        "such as security=apparmor, to see denials"
    )


def denials_spec(
    module: Module,
    bounds: DenialBounds,
    path: Path | None = None,
    seed: int | None = None,
    *,
    preemptible: bool | None = None,
) -> DenialsSpec:
    """The recorder of a module's denials. seed: 64 bits of the hash; None for random ones.

    preemptible: whether the kernel preempts programs of typed tracepoints; None to ask it.
    """
    if preemptible is None:
        preemptible = programs_are_preemptible()
    number = secrets.randbits(64) if seed is None else seed
    typed, classic = "on_selinux", "on_selinux_classic"
    used: tuple[str, ...] = ("on_apparmor",)
    if module == Module.MODULE_SELINUX:
        used = (classic if preemptible else typed, "on_selinux_call")
    return DenialsSpec(
        path=path or object_path("denials.bpf.o"),
        module=module,
        max_entries={
            "denials": bounds.denials,
            "places": bounds.denials,
            "free_denials": bounds.denials,
            "owners": bounds.cgroups,
            "owner_places": bounds.cgroups,
            "free_owners": bounds.cgroups,
            "stash": 1024,
            "hints": bounds.ring_bytes,
        },
        constants={
            "max_denials": bounds.denials,
            "max_denials_of_cgroup": bounds.per_cgroup,
            "max_owners": bounds.cgroups,
            "seed_low": number & 0xFFFFFFFF,
            "seed_high": number >> 32,
        },
        # First: a removal that is not seen would leave entries that nobody gives back.
        attach=("on_removed", *used),
        control="control",
        kprobes={name: AUDIT_FUNCTION for name in used if name in ("on_apparmor", "on_selinux_call")},
        events={classic: "avc/selinux_audited"} if classic in used else {},
        unused=tuple(name for name in ("on_apparmor", "on_selinux_call", typed, classic) if name not in used),
        bounds=bounds,
    )
