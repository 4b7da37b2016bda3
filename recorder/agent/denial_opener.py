"""The kernel side of AppArmor's and SELinux's denials, as the agent and a recording use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recorder.model.errors import PinMismatch, RecorderError

if TYPE_CHECKING:
    from recorder.agent.denials import Opener
    from recorder.kernel.denial_source import DenialSource
    from recorder.kernel.denials_spec import DenialBounds

__all__ = ["agent_opener", "opener"]


def opener(bounds: DenialBounds, source: str = "auto") -> Opener:
    """By that source, of `recorder.kernel.denial_sources.SOURCES`. Nothing of it can be taken over."""

    def open_source(folder: Path | None) -> tuple[DenialSource, str]:
        # Here and not above: who never asks for denials does without.
        from recorder.kernel.denial_sources import open_denials  # noqa: PLC0415

        if folder:
            raise PinMismatch(f"what is pinned below {folder} is not taken over")
        opened = open_denials(source, bounds)
        return opened.source, opened.module

    return open_source


def agent_opener(bounds: DenialBounds) -> Opener:
    """For a process that attaches when it has given up privileges; the first source that the kernel has."""

    def open_or_adopt(folder: Path | None) -> tuple[DenialSource, str]:
        from recorder.kernel.denial_source import nothing_to_flush  # noqa: PLC0415 - as above
        from recorder.kernel.denials import DenialWatch  # noqa: PLC0415
        from recorder.kernel.denials_layout import Module  # noqa: PLC0415
        from recorder.kernel.denials_spec import active_module, denials_spec  # noqa: PLC0415
        from recorder.kernel.selinux_cache import flush_if_possible  # noqa: PLC0415

        module = active_module()
        flush = flush_if_possible if module == Module.MODULE_SELINUX else nothing_to_flush
        name = module.name.removeprefix("MODULE_").lower()
        try:
            return DenialWatch(denials_spec(module, bounds), adopt=folder, flush=flush, ahead=True), name
        except PinMismatch:
            raise
        except RecorderError:
            if folder:
                raise
            return opener(bounds)(None)  # which says why, if there is none

    return open_or_adopt
