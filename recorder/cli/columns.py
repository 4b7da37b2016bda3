"""A table on stdout: by rich in a terminal, plain columns for programs. All cells are escaped already."""

from __future__ import annotations

import sys
from collections.abc import Sequence

GAP = "  "


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The head, and a line for each row; in a terminal cells are folded to its width."""
    if sys.stdout.isatty():
        _print_rich(head, rows)
    else:
        for line in plain_lines(head, rows):
            print(line)


def plain_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Columns two spaces apart; an empty cell is a hyphen, so that each line has all columns."""
    lines = [[cell or "-" for cell in line] for line in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        GAP.join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _print_rich(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in head:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
