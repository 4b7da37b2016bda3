"""Containers that come and go beside a test, each with calls that only it makes."""

import concurrent.futures
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.agent.node import Node, Pod
from tests.mixing.hand import Hand, deal
from tests.truth.calls import Call
from tests.truth.programs import EXEC, rawsys_calls, word

PLAYERS = 150  # so many in a row have different calls
REPEATED = (
    1,
    1,
    1,
    100,
    20_000,
    100_000,
)  # how often it makes them: it lives for milliseconds, or for a while


@dataclass(slots=True)
class Churn:
    """`expected`: the workload of each container that was started, by its id."""

    node: Node
    pod: Pod
    random: random.Random
    expected: dict[str, frozenset[Call]] = field(default_factory=dict)
    _hands: list[Hand] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def one(self) -> str:
        """Start one more; its id."""
        with self._lock:
            if not self._hands:
                self._hands = deal(PLAYERS, self.random.randrange(1 << 32))
            made = self._hands.pop()
            times = self.random.choice(REPEATED)
            name = f"c-{len(self.expected)}-{self.random.randrange(1 << 32):x}"
        identity = self.node.create(self.pod, name, "/rawsys", f"{times}x", *map(word, made))
        with self._lock:
            self.expected[identity] = rawsys_calls(made) | EXEC
        self.node.cri.start_container(identity)
        return identity

    def run(self) -> None:
        """One after the other, until `stop`."""
        while not self._stop.is_set():
            self.one()
            self._stop.wait(0.02)

    def stop(self) -> None:
        """No more come."""
        self._stop.set()


@contextmanager
def churn(node: Node, pod: Pod, seed: int, threads: int = 2) -> Iterator[Churn]:
    """Containers of a pod come and go until the end of the `with`, or until `stop`."""
    made = Churn(node, pod, random.Random(seed))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        workers = [pool.submit(made.run) for _ in range(threads)]
        try:
            yield made
        finally:
            made.stop()
    for each in workers:
        each.result()
