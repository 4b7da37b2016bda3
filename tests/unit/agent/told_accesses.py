"""A watch of accesses that tells what it is told, in place of the kernel's."""

from pathlib import Path

from recorder.kernel.accesses import AccessLosses, AccessReading
from recorder.kernel.backend import Target
from recorder.model.access import File, FileRight
from recorder.model.accesses import Accesses, AccessKey, Seen
from recorder.model.errors import BpfLoadError, RecorderError
from recorder.model.first_sight import FirstSight
from recorder.model.record import Phase


def file(path: bytes, rights: int = FileRight.READ, at: int = 1) -> tuple[AccessKey, Seen]:
    """A file that the workload used."""
    return AccessKey(Phase.WORKLOAD, File(path)), Seen(rights, FirstSight(at, b"cat"))


class ToldAccesses:
    """Entries in the order in which they are told; a cursor is how many there were."""

    def __init__(self) -> None:
        self.entries: dict[Target, list[tuple[AccessKey, Seen]]] = {}
        self.lost: dict[Target, AccessLosses] = {}
        self.open: dict[Target, list[tuple[AccessKey, Seen]]] = {}
        self.skipped = 0
        self.attached = self.closed = self.pinned = False
        self.dropped: set[Target] = set()
        self.steps: list[str] = []
        self.refuses: RecorderError | None = None
        self.may_pin = True

    def tell(self, target: Target, *entries: tuple[AccessKey, Seen]) -> None:
        """It used these."""
        self.entries.setdefault(target, []).extend(entries)

    def check(self) -> None:
        if self.refuses:
            raise self.refuses

    def attach(self) -> None:
        if self.refuses:
            raise self.refuses
        self.attached = True

    def detach(self) -> None:
        self.attached = False

    def drop(self, *targets: Target) -> None:
        self.dropped |= set(targets)
        self.steps.append("drop")

    def release(self, target: Target) -> None:
        assert target in self.dropped
        self.entries.pop(target, None)
        self.steps.append("release")

    def watch(self, target: Target) -> None:
        self.dropped.discard(target)
        self.steps.append("watch")

    def sweep(self) -> None:
        self.steps.append("sweep")

    def changes(self, target: Target) -> int:
        return len(self.entries.get(target, ()))

    def read(self, target: Target, *, after: int = 0, final: bool = False) -> AccessReading:
        told = self.entries.get(target, [])
        found: dict[AccessKey, Seen] = {}
        for key, seen in [*told[after:], *(self.open.get(target, []) if final else [])]:
            found[key] = found[key].join(seen) if key in found else seen
        return AccessReading(Accesses(found), len(told), self.losses(target))

    def losses(self, target: Target) -> AccessLosses:
        return self.lost.get(target, AccessLosses())

    def missed(self) -> int:
        return self.skipped

    def use(self) -> dict[str, tuple[int, int]]:
        return {"accesses": (sum(map(len, self.entries.values())), 2), "lines": (7, 3)}

    def runs(self) -> dict[str, tuple[int, int]]:
        return {"on_file_open": (1, 1)}

    def pin(self, folder: Path) -> None:
        if not self.may_pin:
            raise BpfLoadError("it cannot be pinned")
        self.pinned = True

    def close(self) -> None:
        self.closed = True
