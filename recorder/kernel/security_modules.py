"""Which security modules the kernel runs, and whether SELinux enforces its policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SecurityModule", "security_modules"]

LISTED = Path("sys/kernel/security/lsm")
"""The active ones in their order; securityfs, which a container does not see by itself."""
APPARMOR = Path("sys/module/apparmor/parameters/enabled")
FILE_SYSTEMS = Path("proc/filesystems")
"""selinuxfs is among them where SELinux was not switched off at boot (security/selinux/selinuxfs.c)."""
ENFORCE = Path("sys/fs/selinux/enforce")


@dataclass(frozen=True, slots=True)
class SecurityModule:
    """name: as the kernel calls it. mode: of selinux, enforcing or permissive; empty: not known, or none."""

    name: str
    mode: str = ""


def security_modules(root: Path = Path("/")) -> tuple[SecurityModule, ...]:
    """The active ones, in the kernel's order; where its list cannot be read, apparmor and selinux alone.

    root: where /sys and /proc are.
    """
    listed = _text(root / LISTED)
    names: Iterable[str] = filter(None, listed.split(",")) if listed else _found(root)
    return tuple(SecurityModule(name, _mode(root) if name == "selinux" else "") for name in names)


def _found(root: Path) -> Iterable[str]:
    if _text(root / APPARMOR) == "Y":
        yield "apparmor"
    if "selinuxfs" in _text(root / FILE_SYSTEMS).split():
        yield "selinux"


def _mode(root: Path) -> str:
    return {"1": "enforcing", "0": "permissive"}.get(_text(root / ENFORCE), "")


def _text(path: Path) -> str:
    """Empty if it cannot be read: it is not there, or not mounted here."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
