"""What goes on in a capture, as a table on a terminal that is drawn anew twice a second."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from recorder.cli.progress import Progress, Row, listed

if TYPE_CHECKING:
    from recorder.model.record import Record

COLUMNS = ("CONTAINER", "CALLS", "SET-UP", "NEWEST", "LAST NEW", "LEDGER")


class LiveTable:
    """Drawn on stderr, so that stdout is the result's."""

    def __init__(self, title: str) -> None:
        """Title: what is captured, escaped already."""
        self._title = title
        self._begun = time.monotonic()
        self._selected = 0
        self._progress = Progress()
        self._live = Live(
            self._table(),
            console=Console(file=sys.stderr),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start(refresh=True)

    def update(self, record: Record, selected: int) -> None:
        """Shown with the next tick."""
        self._selected = selected
        self._progress.update(record)

    def note(self, text: str) -> None:
        """A line above the table, which stays."""
        self._live.console.print(Text(f"recorder: {text}"))

    def tick(self) -> None:
        """Draws it anew: times go on without news."""
        self._live.update(self._table(), refresh=True)

    def close(self) -> None:
        """Draws the last state, which stays; may be repeated."""
        if self._live.is_started:
            self.tick()
            self._live.stop()

    def _table(self) -> Table:
        rows = self._progress.rows()
        seconds = time.monotonic() - self._begun
        title = f"{self._title}: {len(rows)} seen, {self._selected} recorded now, {duration(seconds)}"
        table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
        for column in COLUMNS:
            number = column in ("CALLS", "SET-UP", "LAST NEW")
            table.add_column(column, justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, cells(row)))
        return table


def cells(row: Row) -> tuple[str, ...]:
    """One line of the table."""
    quiet = "ended" if row.ended else f"{duration(row.quiet)} ago"
    return (row.name, str(row.calls), str(row.setup), listed(row.newest), quiet, row.ledger)


def duration(seconds: float) -> str:
    """Like `7 s`, `3 min 12 s`, `2 h 5 min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
