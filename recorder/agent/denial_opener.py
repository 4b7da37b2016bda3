"""The kernel side of AppArmor's and SELinux's denials, as the agent and a recording use it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recorder.agent.denials import Opener
    from recorder.kernel.denial_source import DenialSource
    from recorder.kernel.denials_spec import DenialBounds

__all__ = ["opener"]


def opener(bounds: DenialBounds, source: str = "auto") -> Opener:
    """By that source: `recorder.kernel.denial_sources.SOURCES`."""

    def open_or_adopt(folder: Path | None) -> tuple[DenialSource, str]:
        # Here and not above: who never asks for denials does without.
        from recorder.kernel.denial_sources import open_denials  # noqa: PLC0415
        from recorder.kernel.denials import DenialWatch  # noqa: PLC0415
        from recorder.kernel.denials_layout import Module  # noqa: PLC0415
        from recorder.kernel.denials_spec import active_module, denials_spec  # noqa: PLC0415

        if folder:
            module: Module = active_module()
            name = module.name.removeprefix("MODULE_").lower()
            return DenialWatch(denials_spec(module, bounds), adopt=folder), name
        opened = open_denials(source, bounds)
        return opened.source, opened.module

    return open_or_adopt
