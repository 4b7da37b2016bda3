"""Which source of denials: programs at the security modules where the kernel can, else the audit log."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from recorder.kernel.denial_source import DenialSource, Flush, nothing_to_flush
from recorder.kernel.denials_layout import Module
from recorder.kernel.denials_spec import ACTIVE_MODULES, DenialBounds, active_module, denials_spec
from recorder.kernel.selinux_cache import flush_if_possible
from recorder.model.errors import (
    BpfLoadError,
    MissingLibrary,
    MissingObject,
    NoBtf,
    RecorderError,
    UnsupportedKernel,
    UsageError,
)

Opener = Callable[[Module, DenialBounds, Flush], DenialSource]

# What another source may be the answer to. Not a missing privilege, a bound or a layout.
_OTHER_MAY_WORK = (NoBtf, UnsupportedKernel, BpfLoadError, MissingLibrary, MissingObject)


@dataclass(frozen=True, slots=True)
class OpenedDenials:
    """A source, not attached yet; module: whose denials; why this one: a clause, '' if it was asked for."""

    source: DenialSource
    module: str
    why: str


def _lsm(module: Module, bounds: DenialBounds, flush: Flush) -> DenialSource:
    # Here and not above: each has modules that cost memory in a process that uses another.
    from recorder.kernel.denials import DenialWatch

    watch = DenialWatch(denials_spec(module, bounds), flush=flush)
    try:
        watch.attach()  # whether the kernel can: nothing is watched yet
        watch.detach()
    except RecorderError:
        watch.close()
        raise
    return watch


def _audit_log_end(module: Module, bounds: DenialBounds, flush: Flush) -> DenialSource:
    from recorder.kernel.audit_denials import AuditDenials
    from recorder.kernel.audit_lines import AuditLines

    del module  # its records say so
    with contextlib.closing(AuditLines()):  # whether the kernel can
        return AuditDenials("audit-log-end", bounds, AuditLines, flush)


def _netlink(module: Module, bounds: DenialBounds, flush: Flush) -> DenialSource:
    from recorder.kernel.audit_denials import AuditDenials
    from recorder.kernel.audit_multicast import AuditMulticast

    del module
    with contextlib.closing(AuditMulticast()):
        return AuditDenials("netlink", bounds, AuditMulticast, flush)


OPENERS: Mapping[str, Opener] = {"lsm": _lsm, "audit-log-end": _audit_log_end, "netlink": _netlink}
SOURCES = ("auto", *OPENERS)


def open_denials(
    source: str,
    bounds: DenialBounds,
    *,
    flush_selinux: bool = True,
    active_modules: Path = ACTIVE_MODULES,
    openers: Mapping[str, Opener] = OPENERS,
) -> OpenedDenials:
    """The named source, or the first of auto's that this kernel has.

    flush_selinux: empty SELinux's cache whenever a cgroup begins to be watched.

    Raises UsageError for another name, UnsupportedKernel where neither module is active, and what the source
    raises; for auto that of the last one.
    """
    if source not in ("auto", *openers):
        raise UsageError(
            f"no source of denials is called {source!r}: it is one of auto, {', '.join(openers)}"
        )
    module = active_module(active_modules)
    name = module.name.removeprefix("MODULE_").lower()
    flush = flush_if_possible if flush_selinux and module == Module.MODULE_SELINUX else nothing_to_flush
    if source != "auto":
        return OpenedDenials(openers[source](module, bounds, flush), name, "")
    refused: list[str] = []
    for each, opener in openers.items():
        try:
            why = f"since {'; '.join(refused)}" if refused else "since the kernel takes the programs"
            return OpenedDenials(opener(module, bounds, flush), name, why)
        except _OTHER_MAY_WORK as error:
            refused.append(f"{each} cannot: {str(error).splitlines()[0]}")
    raise UnsupportedKernel(f"this kernel does not tell of denials: {'; '.join(refused)}")
