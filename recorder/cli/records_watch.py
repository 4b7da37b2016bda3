"""`--watch`: the table of records drawn anew in a terminal, and a line for each change elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from recorder.cli.columns import GAP, plain_lines
from recorder.cli.records_seen import SeenRecords
from recorder.cli.records_table import HEAD, row

if TYPE_CHECKING:
    from rich.table import Table

    from recorder.rpc.v1 import collector_pb2 as pb


class WatchView(Protocol):
    """A context manager."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def take(self, message: pb.WatchRecordsResponse) -> None:
        """Show what it says."""


def watch_view() -> WatchView:
    """The one for stdout."""
    return _Drawn() if sys.stdout.isatty() else Lines()


class Lines:
    """The table once, then each row of it that changes."""

    def __init__(self) -> None:
        self._seen = SeenRecords()
        self._synced = False
        self._said: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left to be said."""

    def take(self, message: pb.WatchRecordsResponse) -> None:
        changed = self._seen.take(message)
        if message.HasField("synced"):
            self._synced = True
            rows = [self._told(row(each)) for each in self._seen.groups()]
            print("\n".join(plain_lines(HEAD, rows)), flush=True)
        elif self._synced and changed:
            for group in self._seen.groups_of(changed):
                new = row(group)
                if self._said.get(new[:2]) != new:
                    print(GAP.join(cell or "-" for cell in self._told(new)), flush=True)

    def _told(self, cells: tuple[str, ...]) -> tuple[str, ...]:
        self._said[cells[:2]] = cells
        return cells


class _Drawn:
    """Drawn anew with each message, at most four times a second."""

    def __init__(self) -> None:
        from rich.live import Live

        self._seen = SeenRecords()
        self._live = Live(get_renderable=self._table, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def take(self, message: pb.WatchRecordsResponse) -> None:
        self._seen.take(message)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in HEAD:
            table.add_column(title, overflow="fold")
        for group in self._seen.groups():
            table.add_row(*map(Text, row(group)))
        return table
