"""podman as it is run without systemd, an image or a network: a root file system, and storage of its own."""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.owner import owner
from tests.truth.oci import PARENT, TIMEOUT, Ended, Layout, OciError


def _folder() -> Path:
    # podman refuses a run root longer than 50 characters, so not below a test's folder
    return Path(tempfile.mkdtemp(prefix=f"podman-{owner()}-", dir="/tmp"))


@dataclass(frozen=True, slots=True)
class Podman:
    """podman with one runtime; all that it made is gone after the `with`.

    Needs the runtime's ground (`Layout.ground`). Its containers' cgroups are
    `cgroup`/libpod-<id>.
    """

    runtime: str
    layout: Layout = field(default_factory=Layout.detect)
    folder: Path = field(default_factory=_folder)

    @property
    def cgroup(self) -> Path:
        """The directory on cgroup2 below which each container has its own."""
        return self.layout.cgroup2 / PARENT.lstrip("/") / self.folder.name / "containers"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call("rm", "--all", "--force", "--time", "0")
        self.layout.remove(self.folder.name)
        shutil.rmtree(self.folder)

    def call(self, *words: str, timeout: float = TIMEOUT) -> Ended:
        """Run one podman command to its end; raises OciError if it hangs."""
        places = {"--root": "root", "--runroot": "run", "--tmpdir": "tmp"}
        store = [word for option, name in places.items() for word in (option, str(self.folder / name))]
        # vfs: overlay would leave a mount behind
        how = (
            "--storage-driver=vfs",
            "--cgroup-manager=cgroupfs",
            "--events-backend=file",
            "--runtime",
            self.runtime,
        )
        try:
            done = subprocess.run(
                ["podman", *store, *how, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise OciError(f"podman {' '.join(words)} did not end within {timeout} s") from None
        return Ended(done.returncode, done.stdout, done.stderr)

    def run(self, rootfs: Path, args: Sequence[str], *options: str) -> Ended:
        """`podman run` of a program in a root file system; the status is the program's."""
        # podman's default limits are above what root without CAP_SYS_RESOURCE may ask for
        limits = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--pids-limit=-1")
        # a level of its own for containers: podman puts its monitor's cgroup beside it
        where = ("--network", "none", "--cgroup-parent", f"{PARENT}/{self.folder.name}/containers")
        return self.call("run", "--rm", *limits, *where, *options, "--rootfs", str(rootfs), *args)
