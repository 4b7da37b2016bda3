"""How often containers were denied something, since the agent's start: what the metric shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from recorder.model.record import Observation, Outcome

if TYPE_CHECKING:
    from recorder.service.metrics import Row
    from recorder.service.series import Series

__all__ = ["DenialCounts"]


class DenialCounts:
    """Fed with the states of each source, as often as one likes: what is new since the last one is added.

    Of a denied call, which the kernel side only marks, the containers are counted to which it was denied.
    """

    def __init__(self) -> None:
        self._series: Series | None = None
        self._seen: dict[Hashable, Counter[tuple[str, str]]] = {}

    def take(self, source: Hashable, observation: Observation) -> None:
        """One source's state now."""
        now = Counter[tuple[str, str]]()
        for key, count in _counted(observation):
            now[key] += count
        if not now:
            return
        if self._series is None:
            from recorder.service.series import Series  # noqa: PLC0415 - who has no denials does without

            self._series = Series(3)
        before = self._seen.get(source, Counter())
        pod = observation.identity.pod
        for (kind, object_class), count in (now - before).items():
            self._series.add((pod.namespace if pod else "", kind, object_class), count)
        self._seen[source] = now | before

    def forget(self, source: Hashable) -> None:
        """There will be no more of it."""
        self._seen.pop(source, None)

    def rows(self) -> list[Row]:
        """By namespace, kind and class."""
        return self._series.rows() if self._series else []


def _counted(observation: Observation) -> Iterator[tuple[tuple[str, str], int]]:
    denied = [
        (key.abi, number)
        for key, numbers in observation.calls.items()
        if key.outcome == Outcome.DENIED
        for number in numbers
    ]
    if not denied and not observation.denials:
        return
    from recorder.model.denial_text import denial_text, denied_call_text  # noqa: PLC0415 - as above

    for abi, number in denied:
        text = denied_call_text(abi, number)
        yield (text.kind, text.object_class), 1
    for key, count in observation.denials.items():
        text = denial_text(key.verdict, key.details)
        yield (text.kind, text.object_class), count.count
