"""Short containers of a simulated node: each is made, runs, ends, and is forgotten some while later."""

import random
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.agent.simulated import SimulatedContainer, SimulatedNode, SimulatedPod
from tests.mixing.hand import Hand, deal
from tests.truth.calls import Call
from tests.truth.programs import EXEC, rawsys_calls

PLAYERS = 100
REMEMBERED = 5.0
"""Seconds that the runtime still knows a dead container: a kubelet collects them once a minute."""


@dataclass(slots=True)
class Flood:
    """`expected`: the workload of each container that ended, by its id. `limit`: so many and no more.

    `remembered`: seconds until the runtime forgets a dead one.
    """

    node: SimulatedNode
    pod: SimulatedPod
    rate: float
    limit: int
    remembered: float = REMEMBERED
    expected: dict[str, frozenset[Call]] = field(default_factory=dict)
    failures: list[Exception] = field(default_factory=list)
    hands: list[Hand] = field(default_factory=lambda: deal(PLAYERS, random.randrange(1 << 32)))
    _dead: deque[tuple[float, SimulatedContainer]] = field(default_factory=deque)
    _begun: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """One after the other, `rate` a second for all threads together, until `stop`."""
        try:
            while not self._stop.is_set():
                with self._lock:
                    if self._begun >= self.limit:
                        return
                    number = self._begun
                    self._begun += 1
                hand = self.hands[number % PLAYERS]
                began = time.monotonic()
                self._one(hand)
                self._stop.wait(max(0.0, began + THREADS / self.rate - time.monotonic()))
        except (AssertionError, OSError, TimeoutError, subprocess.SubprocessError) as error:
            self.failures.append(error)

    def _one(self, hand: Hand) -> None:
        container = self.node.container(self.pod)
        self.node.call(container, *hand)
        self.node.end(container)
        forgotten = []
        with self._lock:
            now = time.monotonic()
            self.expected[container.id] = rawsys_calls(hand) | EXEC
            self._dead.append((now, container))
            while self._dead[0][0] < now - self.remembered:
                forgotten.append(self._dead.popleft()[1])
        self.node.forget(*forgotten)

    def stop(self) -> None:
        """No more come."""
        self._stop.set()


THREADS = 3


@contextmanager
def flood(
    node: SimulatedNode,
    pod: SimulatedPod,
    rate: float = 1e6,
    limit: int = 1 << 30,
    remembered: float = REMEMBERED,
) -> Iterator[Flood]:
    """Until `stop`, `limit`, or the end of the `with`; then all have ended."""
    made = Flood(node, pod, rate, limit, remembered)
    workers = [threading.Thread(target=made.run, daemon=True) for _ in range(THREADS)]
    for each in workers:
        each.start()
    try:
        yield made
        if limit < 1 << 30:
            for each in workers:
                each.join(120)
    finally:
        made.stop()
        for each in workers:
            each.join(60)
    assert made.failures == []
