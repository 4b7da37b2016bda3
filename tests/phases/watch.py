"""Every cgroup below a watched one, recorded by the kernel room and read when it ends."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from recorder.kernel.backend import Target, WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec
from tests.owner import owner
from tests.phases.seen import Seen
from tests.truth import oci

BELOW = f"phases-{owner()}"  # below oci.PARENT, so that no other test run's containers are in it
TIMEOUT = 30.0  # seconds until the end of a cgroup must have been reported


class WatchedContainer(oci.Container):
    """A container whose cgroup is made below the watched one."""

    @classmethod
    def prepare(cls, *args: Any, **more: Any) -> Self:
        """As oci.Container.prepare."""
        container = super().prepare(*args, **more)
        container.config["linux"]["cgroupsPath"] = f"{oci.PARENT}/{BELOW}/{container.identity}"
        return container

    @property
    def cgroup(self) -> Path:
        """The container's directory on cgroup2."""
        return watched_root(self.layout) / self.identity

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.layout.remove(f"{BELOW}/{self.identity}")


def watched_root(layout: oci.Layout) -> Path:
    """The directory on cgroup2 below which WatchedContainers are."""
    return layout.cgroup2 / oci.PARENT.lstrip("/") / BELOW


class Watch:
    """Records each new cgroup below `root`. One that has ended is read, released and kept by its id."""

    def __init__(self, root: Path, mode: SlotMode = SlotMode.MODE_CONTAINER, slots: int = 64) -> None:
        self.backend = LibbpfBackend(syscalls_spec(Bounds(slots=slots, ring_bytes=1 << 20)))
        self.backend.watch(root.stat().st_ino, WatchRule(mode))
        self._open: dict[int, Target] = {}
        self._ended: dict[int, Seen] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.backend.close()

    def collect(self) -> None:
        """Take notice of what began and of what ended."""
        self.backend.events()  # hints; without this the ring would be full
        for target in self.backend.targets():
            self._open[target.cgroup_id] = target
            if self.backend.read(target).ended:
                reading = self.backend.read(target, final=True)
                self.backend.release(target)
                del self._open[target.cgroup_id]
                self._ended[target.cgroup_id] = Seen.of(reading.calls, reading.ledger)

    def now(self, cgroup: Path) -> Seen:
        """What was seen so far of a cgroup that is there."""
        self.collect()
        reading = self.backend.read(self._open[cgroup.stat().st_ino])
        return Seen.of(reading.calls, reading.ledger)

    def ended(self, cgroup_id: int) -> Seen:
        """What was seen of a cgroup (an inode number) in all; waits for its end."""
        deadline = time.monotonic() + TIMEOUT
        while cgroup_id not in self._ended:
            self.collect()
            if cgroup_id in self._ended:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"the end of cgroup {cgroup_id} was not reported; open: {self._open}")
            self.backend.wait(0.1)
        return self._ended.pop(cgroup_id)

    def all_ended(self, count: int, where: Callable[[Seen], bool] = lambda _: True) -> list[Seen]:
        """What was seen of `count` cgroups that ended since the last call, in no order; waits for them.

        Those that are not as `where` says are left out.
        """
        deadline = time.monotonic() + TIMEOUT
        while True:
            self.collect()
            seen = [one for one in self._ended.values() if where(one)]
            if len(seen) >= count:
                break
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(seen)} of {count} cgroups ended; open: {self._open}")
            self.backend.wait(0.1)
        self._ended.clear()
        assert len(seen) == count
        return seen
