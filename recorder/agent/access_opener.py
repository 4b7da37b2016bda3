"""The kernel side of accesses, as the agent uses it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recorder.agent.accesses import Opener
    from recorder.kernel.accesses import AccessWatch
    from recorder.kernel.accesses_spec import AccessBounds
    from recorder.kernel.libbpf_backend import LibbpfBackend

__all__ = ["agent_opener"]


def agent_opener(backend: LibbpfBackend, bounds: AccessBounds) -> Opener:
    """Beside that recorder of calls, whose slots it shares."""

    def open_or_adopt(folder: Path | None) -> AccessWatch:
        # Here and not above: who never asks for accesses does without.
        from recorder.kernel.accesses import AccessWatch  # noqa: PLC0415

        return AccessWatch(backend, bounds, adopt=folder)

    return open_or_adopt
