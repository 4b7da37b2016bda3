"""The denials of a running capture, each when it comes or comes again: lines of a table, or of JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from recorder.cli.columns import print_table
from recorder.cli.container_name import container_name
from recorder.cli.denials_json import call_object, counted_object
from recorder.cli.denials_table import HEAD, call_row, denial_row
from recorder.model.denial_text import json_text
from recorder.model.record import CallKey, Observation, Outcome, Phase, SightKey, Source

if TYPE_CHECKING:
    from recorder.model.denial import DenialKey
    from recorder.model.record import Record

WIDTHS = (24, 8, 8, 6, 20, 40, 24, 15, 20, 0)
"""Of the columns of HEAD, while it is not known what is to come."""


class DenialStream:
    """A Display of a CaptureSession. live: shown as they come; else all at the end, once."""

    def __init__(self, *, json: bool, live: bool) -> None:
        self._json = json
        self._live = live
        self._calls: set[tuple[Source, CallKey, int]] = set()
        self._counts: dict[tuple[Source, DenialKey], int] = {}
        self._began = False

    def update(self, record: Record, selected: int) -> None:
        """As Display.update."""
        if self._live:
            self._show(record)

    def note(self, text: str) -> None:
        """As Display.note."""
        print(f"recorder: {text}", file=sys.stderr, flush=True)

    def finish(self, record: Record) -> None:
        """All that was not shown yet."""
        if self._live or self._json:
            self._show(record)
            return
        print_table(HEAD, [row for each in record.observations for row, _ in self._news(each)])

    def _show(self, record: Record) -> None:
        if not self._json and not self._began:
            self._began = True
            print(_columns(HEAD), flush=True)
        for each in record.observations:
            for row, line in self._news(each):
                print(line if self._json else _columns(row), flush=True)

    def _news(self, observation: Observation) -> Iterator[tuple[tuple[str, ...], str]]:
        """Those that are new, or came again, each as cells and as JSON."""
        name = container_name(observation.identity)
        for key, numbers in observation.calls.items():
            if (key.phase, key.outcome) != (Phase.WORKLOAD, Outcome.DENIED):
                continue
            for number in numbers:
                if (call := (observation.source, key, number)) in self._calls:
                    continue
                self._calls.add(call)
                sight = observation.first_sights.get(SightKey(*key, number))
                yield (
                    call_row(name, observation, key.abi, number, sight),
                    json_text(call_object(observation, key.abi, number, sight)),
                )
        for denial, count in observation.denials.items():
            place = observation.source, denial
            if self._counts.get(place) == count.count:
                continue
            self._counts[place] = count.count
            yield (
                denial_row(name, observation, denial, count),
                json_text(counted_object(observation, denial, count)),
            )


def _columns(cells: tuple[str, ...]) -> str:
    return "  ".join(f"{cell or '-':<{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
