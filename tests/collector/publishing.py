"""A publisher on a real store and a platform in memory, with a clock that the test moves.

What agents report is written by hand; what must come out is worked out by hand as well.
"""

import asyncio
import functools
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from recorder.collector.results.publisher import Publisher
from recorder.collector.results.result_policy import ResultPolicy
from recorder.collector.store import AsyncStore, Incoming, StoreBounds
from recorder.model.abi import Abi
from recorder.model.accesses import Accesses
from recorder.model.denial import DenialCount, DenialKey
from recorder.model.ledger import Ledger
from recorder.model.numbers import Numbers
from recorder.model.record import (
    CallKey,
    Identity,
    Observation,
    Outcome,
    Phase,
    Pod,
    Provenance,
    Source,
)
from recorder.model.recording import ProfileKind, Recording
from recorder.model.result import PublishedResult
from tests.collector.platform import FakePlatform

# None but execve is of those that a runtime needs anyway.
# arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
NUMBERS = {
    "x86_64": (
        Abi.X86_64,
        {"socket": 41, "execve": 59, "rename": 82, "mkdir": 83, "unlink": 87, "chmod": 90, "mount": 165},
    ),
    "aarch64": (Abi.AARCH64, {"socket": 198, "execve": 221}),
}
SECOND = 1_000_000_000
WALL = 1_700_000_000 * SECOND  # 2023-11-14T22:13:20Z
VERSION = "9.9.9"


def seen(
    names: str,
    container: str = "app",
    pod: Pod | None = None,
    *,
    node: str = "node-a",
    cgroup: int = 1,
    epoch: int = 1,
    ended: bool = False,
    last: int = 5,
    machine: str = "x86_64",
    phase: int = Phase.WORKLOAD,
    outcome: int = Outcome.ALLOWED,
    ledger: dict[str, int] | None = None,
    denials: Mapping[DenialKey, DenialCount] | None = None,
    accesses: Accesses | None = None,
) -> Observation:
    """What one run of a container called so far; names are separated by spaces."""
    abi, numbers = NUMBERS[machine]
    calls = {CallKey(int(abi), phase, outcome): Numbers.of(numbers[name] for name in names.split())}
    return Observation(
        Source(node, "boot", cgroup, epoch),
        Identity(name=container, container_id=f"{node}-{cgroup}-{epoch}", pod=pod, image="image:1"),
        calls=calls,
        ledger=Ledger(ledger or {}),
        provenance=Provenance("0.1.0", "6.1.0", machine, "libbpf", "container"),
        first_seen_ns=1 * SECOND,
        last_seen_ns=last * SECOND,
        wall_offset_ns=WALL,
        ended=ended,
        denials=denials or {},
        accesses=accesses or Accesses(),
    )


def allowed(result: PublishedResult) -> set[str]:
    """The names that a published profile allows."""
    return {
        name
        for rule in result.spec["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    }


def coverage(result: PublishedResult) -> dict:
    """The coverage annotation."""
    return json.loads(result.annotations["spo.x-k8s.io/syscall-coverage"])


def content(platform: FakePlatform) -> dict[str, str]:
    """All objects as text, each of their bytes in it: spec, labels and annotations; not their uids."""
    return {
        name: json.dumps([held.part("labels"), held.part("annotations"), held.part("spec")], sort_keys=True)
        for (_, name), held in platform.objects.items()
    }


class Stage:
    """`now`: of the monotonic clock; `wall`: Unix time. Nothing happens but by `pass_` and `restart`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "store.db"
        self.policy = ResultPolicy()
        self.platform = FakePlatform()
        self.platform.clock = lambda: self.now
        self.nodes = frozenset({"node-a", "node-b", "node-c"})
        self.now = 1000.0
        self.wall = 1_800_000_000.0
        self.full = ""
        self.left_out: dict[str, str] = {}
        self.bounds = StoreBounds(node_sightings=100_000)  # all that is reported is of one node
        self.store: AsyncStore
        self.publisher: Publisher
        self.told: list[frozenset[str] | None] = []

    async def begin(self) -> None:
        """As a collector's process begins."""
        self.store = await AsyncStore.open(self.path, self.bounds)
        self.publisher = self._publisher(self.store)
        self.platform._changed = self.publisher.recordings_changed

    def _publisher(self, store: AsyncStore) -> Publisher:
        return Publisher(
            store,
            self.platform,
            self.policy,
            version=VERSION,
            connected=lambda: self.nodes,
            changed=self.told.append,
            store_full=lambda: self.full,
            left_out=lambda recording: self.left_out.get(recording, ""),
            clock=lambda: self.now,
            wall=lambda: self.wall,
        )

    async def end(self) -> None:
        """The process is gone; all that it knew is in the store."""
        await self.store.close()

    async def restart(self) -> None:
        """The process is killed, and another begins. The monotonic clock of another boot begins anew."""
        await self.end()
        self.now -= 500
        await self.begin()

    async def report(self, *observations: Observation, to: Recording | tuple[Recording, ...]) -> None:
        """Agents report; the store has it when this returns."""
        recordings = to if isinstance(to, tuple) else (to,)
        ids = tuple(each.id for each in recordings)
        await self.store.put([Incoming(each, ids) for each in observations])
        self.publisher.sightings_changed(frozenset(ids))

    async def settle(self) -> float:
        """Do what is due now; return when there is more."""
        first = await self.publisher.confirm()
        times = [
            await self.publisher.step(),
            first,
            await self.publisher.confirm(),
            await self.publisher.step(),
        ]
        return min(each for each in times if each is not None)

    async def pass_(self, seconds: float) -> None:
        """Time passes; what comes due meanwhile is done when it comes."""
        end = self.now + seconds
        while True:
            due = await self.settle()
            if self.now >= end:
                return
            self.now = min(end, max(due, self.now + 0.01))


def staged(scenario: Callable[[Stage], Awaitable[None]]) -> Callable[[Path], None]:
    """Make a test of a coroutine that takes a stage."""

    @functools.wraps(scenario)
    def test(tmp_path: Path) -> None:
        async def play() -> None:
            stage = Stage(tmp_path)
            await stage.begin()
            try:
                await scenario(stage)
            finally:
                await stage.end()

        asyncio.run(play())

    del test.__wrapped__  # its parameters are no fixtures
    return test


def condition(stage: Stage, recording: Recording, kind: str):
    """A condition of a recording's status as it was written last; None: it has none of that type."""
    status = stage.platform.statuses[recording.id]
    return next((each for each in status.conditions if each.type == kind), None)


SECCOMP = ProfileKind.SECCOMP
