"""What goes on in a capture, as lines on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from recorder.cli.progress import Progress, Row, listed

if TYPE_CHECKING:
    from recorder.model.record import Record

SHOWN = 8
"""New calls that a line names."""


class Notes:
    """Says what a person has to know, and nothing else."""

    def update(self, record: Record, selected: int) -> None:
        """Nothing to say."""

    def note(self, text: str) -> None:
        """One line."""
        print(f"recorder: {text}", file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Called twice a second."""

    def close(self) -> None:
        """Before the summary; may be repeated."""


class Lines(Notes):
    """A line for each container and change: for logs, where nothing can be rewritten."""

    def __init__(self) -> None:
        self._progress = Progress()

    def update(self, record: Record, selected: int) -> None:
        for row in self._progress.update(record):
            self.note(line(row))


def line(row: Row) -> str:
    """Like `web/nginx: 31 calls, new: openat, close (nginx)`."""
    text = f"{row.name}: {row.calls} calls"
    if row.new:
        more = f" and {len(row.new) - SHOWN} more" if len(row.new) > SHOWN else ""
        text += f", new: {listed(row.new[:SHOWN])}{more}"
    if row.ledger != "complete":
        text += f"; {row.ledger}"
    return f"{text}; ended" if row.ended else text
