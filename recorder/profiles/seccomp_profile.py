"""The seccomp profile as a value: what OCI runtimes and SeccompProfile objects can both say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from recorder.model.abi import Abi
from recorder.model.errors import InvalidProfile
from recorder.model.syscall import TABLE_KERNEL
from recorder.profiles.refusal import all_names

__all__ = ["ACTIONS", "ALLOW", "ARCHITECTURES", "ERRNO", "FLAGS", "OPERATORS"]
__all__ += ["Argument", "Rule", "SeccompProfile", "check"]

ALLOW: Final = "SCMP_ACT_ALLOW"
ERRNO: Final = "SCMP_ACT_ERRNO"


def _names(prefix: str, endings: str) -> tuple[str, ...]:
    return tuple(f"{prefix}{each}" for each in endings.split())


ACTIONS: Final = _names("SCMP_ACT_", "KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG NOTIFY")
ARCHITECTURES: Final = _names(
    "SCMP_ARCH_",
    "NATIVE X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32"
    " PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64",
)
OPERATORS: Final = _names("SCMP_CMP_", "NE LT LE EQ GE GT MASKED_EQ")
FLAGS: Final = _names("SECCOMP_FILTER_FLAG_", "TSYNC LOG SPEC_ALLOW WAIT_KILLABLE_RECV")

# With these a call is or may be made.
_PERMISSIVE: Final = frozenset((ALLOW, "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE"))


@dataclass(frozen=True, slots=True, order=True)
class Argument:
    """A condition on the argument with this index (0 to 5). For MASKED_EQ `value` is the mask."""

    index: int
    op: str
    value: int = 0
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """An action for calls, if all `args` hold. `errno` is for ERRNO; None: the runtime's EPERM."""

    names: tuple[str, ...]
    action: str
    errno: int | None = None
    args: tuple[Argument, ...] = ()


@dataclass(frozen=True, slots=True)
class SeccompProfile:
    """A profile. Of the rules without `args` that name a call the first decides, as in libseccomp.

    A rule with `args` for a call that also has one without is of no effect.

    `default_errno` is for the default action ERRNO (None: EPERM); SeccompProfile
    objects have no field for it. `name`, `state`, `annotations`, `labels` and
    `base_profile` are only in those.
    """

    name: str
    default_action: str
    architectures: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
    default_errno: int | None = None
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    base_profile: str = ""
    state: str = "Enabled"
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for each in ("annotations", "labels"):
            object.__setattr__(self, each, MappingProxyType(dict(sorted(getattr(self, each).items()))))

    @property
    def abis(self) -> tuple[Abi, ...]:
        """The listed architectures that have a table here, ascending."""
        return tuple(abi for abi in Abi if abi.scmp_arch in self.architectures)

    @property
    def allowed(self) -> frozenset[str]:
        """The names that a rule allows, whatever their arguments."""
        return frozenset(name for rule in self.rules if rule.action == ALLOW for name in rule.names)


def check(profile: SeccompProfile) -> None:
    """Refuse a profile that could not work: InvalidProfile says why, and what to do."""
    if not profile.architectures:
        raise InvalidProfile(
            f"profile {profile.name} lists no architecture; every call would end the process:"
            " add the machine's, as SCMP_ARCH_X86_64"
        )
    rules = [rule for rule in profile.rules if rule.action in _PERMISSIVE and rule.names]
    if not rules and profile.default_action not in _PERMISSIVE and not profile.base_profile:
        raise InvalidProfile(f"profile {profile.name} allows nothing; no program could start under it")
    _check_names(profile)


def _check_names(profile: SeccompProfile) -> None:
    if len(profile.abis) < len(profile.architectures):
        return  # an architecture without a table here: its names cannot be judged
    known = all_names(Abi)
    unknown = sorted({name for rule in profile.rules for name in rule.names} - known)
    if not unknown:
        return
    hints = []
    for name in unknown[:10]:
        close = get_close_matches(name, known, n=1)
        hints.append(f"{name} (did you mean {close[0]}?)" if close else name)
    more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
    raise InvalidProfile(
        f"profile {profile.name} has names that no system call of Linux {TABLE_KERNEL} bears, and"
        f" runtimes skip such names in silence: {', '.join(hints)}{more}; correct or remove them"
    )
