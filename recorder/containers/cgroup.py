"""The cgroup v2 tree (Documentation/admin-guide/cgroup-v2.rst): ids, members, making and removing.

Only v2: on v1 and hybrid machines the v2 hierarchy is found by its type, wherever it is
mounted, and a path on a v1 hierarchy is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recorder.model.errors import CgroupNotFound, NoCgroup2, NotPermitted

MOUNTS = Path("/proc/self/mounts")

# No such file; or the cgroup was removed between the opening of a file and its reading.
_GONE = (errno.ENOENT, errno.ENODEV)


def _unescape(field: str) -> str:
    """Spaces and the like are octal escapes in mounts(5)."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8)]), os.fsencode(field)))


def cgroup2_mount(mounts: Path = MOUNTS) -> Path:
    """Where cgroup v2 is mounted; the first of several. Raises NoCgroup2."""
    for line in mounts.read_text(errors="surrogateescape").splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] == "cgroup2":
            return Path(_unescape(fields[1]))
    raise NoCgroup2(
        "no cgroup v2 hierarchy is mounted, and the recorder needs one: "
        "mount -t cgroup2 none DIR, or boot with systemd.unified_cgroup_hierarchy=1"
    )


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A cgroup by its absolute path below `mount`, the cgroup v2 mount."""

    path: Path
    mount: Path

    @property
    def name(self) -> str:
        """The path below the mount, beginning with a slash: as in /proc/PID/cgroup."""
        return "/" if self.path == self.mount else f"/{self.path.relative_to(self.mount)}"

    @property
    def id(self) -> int:
        """The kernel's id: the directory's inode number. Raises CgroupNotFound."""
        try:
            return self.path.stat().st_ino
        except FileNotFoundError:
            raise CgroupNotFound(f"cgroup {self.name} is gone") from None

    def descendants(self) -> Iterator[Cgroup]:
        """All cgroups below this one, parents first; those removed meanwhile are left out."""
        try:
            with os.scandir(self.path) as entries:
                below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            return
        for path in sorted(below):
            child = Cgroup(Path(path), self.mount)
            yield child
            yield from child.descendants()

    def ids_below(self) -> set[int]:
        """The ids of its descendants; those removed meanwhile are left out."""
        found = set()
        for cgroup in self.descendants():
            with contextlib.suppress(CgroupNotFound):
                found.add(cgroup.id)
        return found

    def pids(self) -> list[int]:
        """Processes in it and below it; those of other pid namespaces are given as 0 by the kernel."""
        found: set[int] = set()
        for cgroup in (self, *self.descendants()):
            try:
                found.update(int(line) for line in (cgroup.path / "cgroup.procs").read_text().split())
            except OSError as error:
                # Gone meanwhile, or a threaded cgroup, whose root lists its processes.
                if error.errno not in (*_GONE, errno.EOPNOTSUPP):
                    raise
        return sorted(found)

    def populated(self) -> bool:
        """Whether any task is in it or below it."""
        try:
            events = (self.path / "cgroup.events").read_text()
        except OSError as error:
            if error.errno not in _GONE:
                raise
            # The root has no such file, and never is empty.
            return self.path == self.mount
        return "populated 1" in events

    def kill(self) -> None:
        """SIGKILL to all in it and below it: at once (5.14), or to one after the other until none is left."""
        switch = self.path / "cgroup.kill"
        if switch.exists():
            switch.write_text("1")
        else:
            self._kill_each()

    def _kill_each(self, rounds: int = 500) -> None:
        """Again and again, since they may fork meanwhile; gives up after `rounds`, 10 ms each."""
        for _ in range(rounds):
            if not self.populated():
                return
            for pid in self.pids():
                if pid:  # 0: of another pid namespace, out of reach
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def remove(self) -> bool:
        """Removes it and its descendants; False, and nothing is touched, if a task is left in one of them."""
        if self.populated():
            return False
        try:
            for cgroup in (*reversed(list(self.descendants())), self):
                cgroup.path.rmdir()
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
                return False
            raise
        return True


def find_cgroup(path: str, mounts: Path = MOUNTS) -> Cgroup:
    """A cgroup by its path: below the v2 mount, or with it in front. Raises CgroupNotFound or NoCgroup2."""
    mount = cgroup2_mount(mounts)
    given = Path(path)
    if given.is_absolute() and given.is_dir() and (given / "cgroup.procs").exists():
        resolved = given.resolve()
        if not resolved.is_relative_to(mount.resolve()):
            raise CgroupNotFound(
                f"cgroup {path} is on cgroup v1; the recorder needs cgroup v2 (mounted at {mount})"
            )
        return Cgroup(mount / resolved.relative_to(mount.resolve()), mount)
    below = mount / path.lstrip("/")
    if ".." not in given.parts and (below / "cgroup.procs").exists():
        return Cgroup(below, mount)
    raise CgroupNotFound(f"no cgroup {path}, neither as a path nor below {mount}; see: find {mount} -type d")


def own_cgroup(mounts: Path = MOUNTS, membership: Path = Path("/proc/self/cgroup")) -> Cgroup:
    """The cgroup of this process. Raises NoCgroup2."""
    mount = cgroup2_mount(mounts)
    for line in membership.read_text(errors="surrogateescape").splitlines():
        hierarchy, _, rest = line.partition(":")
        if hierarchy == "0":
            path = mount / rest.partition(":")[2].lstrip("/")
            # Seen from a cgroup namespace, or through another mount's root, it may not be there.
            return Cgroup(path if path.is_dir() else mount, mount)
    return Cgroup(mount, mount)


def make_cgroup(parent: Cgroup, name: str) -> Cgroup:
    """A new cgroup. Raises NotPermitted, with the kernel's reason."""
    path = parent.path / name
    try:
        path.mkdir()
    except OSError as error:
        raise NotPermitted(
            f"cannot make a cgroup below {parent.path}: {error.strerror}; "
            "it needs root, a writable cgroup v2 mount, and room below cgroup.max.descendants"
        ) from error
    return Cgroup(path, parent.mount)
