"""A recorder of calls with a watch of accesses, and programs in cgroups that it records."""

import contextlib
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from recorder.kernel.accesses import AccessWatch
from recorder.kernel.accesses_spec import AccessBounds
from recorder.kernel.backend import Target, WatchRule
from recorder.kernel.layout import SlotMode
from recorder.kernel.libbpf_backend import LibbpfBackend
from recorder.kernel.spec import Bounds, syscalls_spec

CGROUPS = Path("/sys/fs/cgroup")
BOUNDS = Bounds(slots=16)
PROGRAM = Path(__file__).parent / "operations.py"


@contextlib.contextmanager
def new_cgroup() -> Iterator[Path]:
    """A cgroup; what is in it at the end is killed."""
    path = CGROUPS / f"accesses-{uuid.uuid4().hex[:12]}"
    path.mkdir()
    try:
        yield path
    finally:
        (path / "cgroup.kill").write_text("1")
        while "populated 1" in (path / "cgroup.events").read_text():
            pass
        path.rmdir()


class Watched:
    """`recording` records a cgroup; `backend` and `watch` are what does.

    keeper: a cgroup that is watched all the time, so that the recorder of calls stays attached.
    """

    def __init__(self, keeper: Path, bounds: AccessBounds | None = None) -> None:
        self._keeper = keeper.stat().st_ino
        self.backend = LibbpfBackend(syscalls_spec(BOUNDS))
        try:
            self._keep()
            self.watch = AccessWatch(self.backend, bounds)
            self.watch.attach()
        except BaseException:
            self.backend.close()
            raise

    def _keep(self) -> None:
        self.backend.watch(self._keeper, WatchRule(SlotMode.MODE_CONTAINER))

    def attach_calls_anew(self) -> None:
        """The recorder of calls comes after the watch then; while nothing is recorded."""
        self.backend.unwatch(self._keeper)
        self._keep()

    @contextlib.contextmanager
    def recording(self, mode: SlotMode = SlotMode.MODE_EXEC) -> Iterator[tuple[Path, Target]]:
        """A new cgroup and its target; what has happened by the end can no longer be read then."""
        with new_cgroup() as cgroup:
            target = self.backend.add(cgroup.stat().st_ino, mode)
            try:
                yield cgroup, target
            finally:
                self.release(target)

    def release(self, target: Target) -> None:
        """As an agent does at its end."""
        self.backend.drop(target)
        self.watch.drop(target)
        self.watch.release(target)
        self.backend.release(target)

    def close(self) -> None:
        self.watch.close()
        self.backend.close()


@contextlib.contextmanager
def watched(bounds: AccessBounds | None = None) -> Iterator[Watched]:
    """Nothing is recorded yet."""
    with new_cgroup() as keeper:
        made = Watched(keeper, bounds)
        try:
            yield made
        finally:
            made.close()


@contextlib.contextmanager
def complaining(name: str) -> Iterator[None]:
    """An AppArmor profile without a rule, that only says what it would deny."""
    policy = f"abi <abi/3.0>,\nprofile {name} flags=(complain) {{\n}}\n".encode()
    load = ["apparmor_parser", "--replace", "--skip-cache", "--quiet"]
    subprocess.run(load, input=policy, check=True, timeout=120)
    try:
        yield
    finally:
        subprocess.run(["apparmor_parser", "--remove"], input=policy, check=False, timeout=120)


@contextlib.contextmanager
def confined(name: str, policy: str) -> Iterator[str]:
    """An AppArmor profile that is enforced: what a shell does first so that the next one is in it."""
    load = ["apparmor_parser", "--replace", "--skip-cache", "--quiet"]
    subprocess.run(load, input=policy.encode(), check=True, timeout=240)
    try:
        yield f'echo "exec {name}" >/proc/self/attr/apparmor/exec;'
    finally:
        subprocess.run(["apparmor_parser", "--remove"], input=policy.encode(), check=False, timeout=120)


def operate(folder: Path, profile: str, cgroup: Path, marker: Path) -> int:
    """Runs the program of operations: how many it did."""
    folder.mkdir()
    with subprocess.Popen(
        [sys.executable, PROGRAM, folder, profile, cgroup, marker],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            process.communicate(b"\n", timeout=240)
        except BaseException:
            process.kill()
            raise
    return process.returncode


def joining(cgroup: Path, text: str, before: str = "") -> list[str]:
    """The words of a shell that joins, does what is before, and then is another one, which runs the text."""
    join = f'echo $$ >"$1/cgroup.procs" && {{ {before} exec /bin/sh -c "$2"; }}'
    return ["/bin/sh", "-c", join, "sh", str(cgroup), text]


def shell(
    cgroup: Path, text: str, before: str = "", seconds: float = 240
) -> subprocess.CompletedProcess[bytes]:
    """Runs those words to their end."""
    words = joining(cgroup, text, before)
    return subprocess.run(words, capture_output=True, timeout=seconds, check=False)
