"""Real OCI containers: a bundle made from programs of this machine, run by runc or crun.

No image and no registry: the root file system is copied from the machine, with the
shared libraries that `ldd` names. Works on pure cgroup v2 and on the hybrid layout
(v1 controllers, cgroup2 beside them); see `Layout.ground` for what crun needs there.
The figures and the configuration follow the OCI runtime specification 1.0.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.owner import owner

# What `runc spec` grants, and what a server needs to drop to its own user.
CAPABILITIES = (
    *("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"),
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP"),
)
TIMEOUT = 60.0  # seconds for one command of a runtime
PARENT = "/recorder-test"  # every cgroup made here lies below it


class OciError(AssertionError):
    """A runtime failed, hung, or the machine cannot run it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where this machine's cgroups are mounted, found by file system type, never by path."""

    cgroup2: Path
    v1: tuple[Path, ...]

    @classmethod
    def detect(cls, mounts: str | None = None) -> Self:
        """Read /proc/self/mounts (or the given text); raises OciError without a cgroup2 mount."""
        text = Path("/proc/self/mounts").read_text() if mounts is None else mounts
        found: dict[str, list[Path]] = {"cgroup2": [], "cgroup": []}
        for line in text.splitlines():
            _, where, kind, *_ = line.split(" ")
            if kind in found:
                # a space or a newline in a path is written as octal (proc(5))
                path = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), where)
                found[kind].append(Path(path))
        if not found["cgroup2"]:
            raise OciError("no cgroup2 mount: mount -t cgroup2 none DIRECTORY")
        return cls(found["cgroup2"][0], tuple(found["cgroup"]))

    @property
    def hybrid(self) -> bool:
        """Whether v1 controllers are mounted beside cgroup2."""
        return bool(self.v1)

    @contextlib.contextmanager
    def ground(self, runtime: str) -> Iterator[None]:
        """The ground on which a runtime runs; afterwards cgroup2's root is as it was.

        On a hybrid layout crun takes a controller on cgroup2 for a sign that cgroup2
        manages resources, and refuses. A v1 mount takes the controllers off cgroup2 for
        the whole machine; it lives in a mount namespace of its own, where nobody else
        sees it, and ends with the process that holds it.
        """
        control = self.cgroup2 / "cgroup.subtree_control"
        before = set(control.read_text().split())
        controllers = self._to_take_off() if runtime == "crun" and self.hybrid else []
        try:
            for name in before & set(controllers):  # one that is enabled below cannot be taken off
                with contextlib.suppress(OSError):
                    control.write_text(f"-{name}")
            with _off_cgroup2(controllers) if controllers else contextlib.nullcontext():
                yield
        finally:
            # both runtimes enable below the root what they can use; a controller may have come meanwhile
            for name in set(control.read_text().split()) - before:
                with contextlib.suppress(OSError):  # EBUSY: somebody else uses it by now
                    control.write_text(f"-{name}")

    def _to_take_off(self) -> list[str]:
        """Controllers on cgroup2, and those on a v1 hierarchy that is mounted where we do not see it.

        The latter is another test run's ground. It ends with that run, so we hold it as well.
        """
        names = (self.cgroup2 / "cgroup.controllers").read_text().split()
        mounts = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
        seen = {
            option for _, _, kind, options, *_ in mounts if kind == "cgroup" for option in options.split(",")
        }
        for line in Path("/proc/cgroups").read_text().splitlines()[1:]:
            name, hierarchy, *_ = line.split()
            if hierarchy != "0" and name not in seen and name not in names:
                names.append(name)
        return names

    def remove(self, name: str, seconds: float = 5) -> None:
        """Remove PARENT/<name> and what is below it from every hierarchy, and PARENT if it is empty.

        Runtimes leave empty directories behind, above all on v1. A task that is still ending
        holds its directory: it gets `seconds`.
        """
        end = time.monotonic() + seconds
        for mounted in (self.cgroup2, *self.v1):
            parent = mounted / PARENT.lstrip("/")
            while (parent / name).exists():
                for folder, _, _ in os.walk(parent / name, topdown=False):
                    with contextlib.suppress(OSError):
                        Path(folder).rmdir()
                if time.monotonic() > end:
                    break
                time.sleep(0.005)
            with contextlib.suppress(OSError):  # not there, or another container's
                parent.rmdir()


@contextlib.contextmanager
def _off_cgroup2(controllers: Sequence[str]) -> Iterator[None]:
    joined = ",".join(controllers)
    script = 'mount -t cgroup -o "$1" none "$0" && echo held && read -r _'
    with (
        tempfile.TemporaryDirectory(prefix="crun-ground-") as folder,
        subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", script, folder, joined],
            stdin=subprocess.PIPE,  # closed when we end, however we end
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as holder,
    ):
        assert holder.stdin
        assert holder.stdout
        assert holder.stderr
        if holder.stdout.readline() != "held\n":
            why = holder.stderr.read().strip()
            raise OciError(f"cannot take {joined} off cgroup2: {why} (EBUSY: a child uses it)")
        try:
            yield
        finally:
            holder.stdin.close()
            holder.wait(10)


def copy_program(program: Path, rootfs: Path, destination: str | None = None) -> None:
    """Copy a program into a root file system, with the libraries and the loader it needs."""
    target = rootfs / (destination or str(program)).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(program.resolve(), target)
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    for found in re.finditer(r"(?:=> )?(/\S+) \(0x", done.stdout):
        library = rootfs / found[1].lstrip("/")
        if not library.exists():
            library.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(found[1]).resolve(), library)


def make_rootfs(rootfs: Path, programs: Mapping[str, Path]) -> Path:
    """A root file system with these programs (path inside -> path here), users and empty mount points."""
    for name in ("proc", "sys", "dev", "etc", "run", "tmp", "var"):
        (rootfs / name).mkdir(parents=True, exist_ok=True)
    (rootfs / "tmp").chmod(0o1777)
    (rootfs / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
    (rootfs / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")
    for inside, program in programs.items():
        copy_program(program, rootfs, inside)
    return rootfs


def mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    """One entry of `mounts`; `kind` is `bind` or a file system type."""
    entry = {"destination": destination, "type": kind, "source": source}
    return {**entry, "options": list(options)} if options else entry


def hook(program: str, *args: str, timeout: int = 10) -> dict[str, Any]:
    """One entry of `hooks`; `program` is a path, in the container's mount namespace for startContainer."""
    return {"path": program, "args": [program, *args], "timeout": timeout}


def configuration(
    args: Sequence[str],
    *,
    cgroups_path: str,
    rootfs: Path,
    no_new_privileges: bool = False,
    seccomp: Mapping[str, Any] | None = None,
    hooks: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    mounts: Sequence[Mapping[str, Any]] = (),
    env: Sequence[str] = ("PATH=/usr/sbin:/usr/bin:/sbin:/bin",),
    user: tuple[int, int] = (0, 0),
    host_network: bool = False,
    capabilities: Sequence[str] = CAPABILITIES,
) -> dict[str, Any]:
    """A config.json. No rlimits and no oomScoreAdj: raising or lowering them needs CAP_SYS_RESOURCE."""
    spaces = ["pid", "ipc", "uts", "mount", *(() if host_network else ("network",))]
    linux: dict[str, Any] = {
        "cgroupsPath": cgroups_path,
        "namespaces": [{"type": space} for space in spaces],
    }
    if seccomp is not None:
        linux["seccomp"] = dict(seccomp)
    sets = ("bounding", "effective", "permitted")
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": user[0], "gid": user[1]},
            "args": list(args),
            "env": list(env),
            "cwd": "/",
            "capabilities": {name: list(capabilities) for name in sets},
            "noNewPrivileges": no_new_privileges,
        },
        "root": {"path": str(rootfs), "readonly": False},
        "hostname": "recorder-test",
        "mounts": [
            mount("/proc", "proc", "proc"),
            mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666"),
            mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            mount("/tmp", "tmpfs", "tmpfs", "nosuid", "nodev", "mode=1777"),
            *map(dict, mounts),
        ],
        "linux": linux,
    }
    if hooks:
        config["hooks"] = {name: [dict(entry) for entry in entries] for name, entries in hooks.items()}
    return config


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command of a runtime, or the container in the foreground, ended (-1 if it has not)."""

    status: int
    stdout: str
    stderr: str

    def good(self) -> Self:
        """Itself if the status is 0; raises OciError with what was said otherwise."""
        if self.status != 0:
            raise OciError(f"status {self.status}: {self.stderr.strip() or self.stdout.strip()}")
        return self


@dataclass(slots=True)
class Container:
    """One container of one runtime, in a folder of its own; gone, with its cgroups, after the `with`.

    `folder` is the bundle. The cgroup is `PARENT/<id>` on every hierarchy that the runtime
    uses; `cgroup` is the directory on cgroup2 and exists from `create` or `run` on,
    or from `make_cgroup`, for a recorder that is to be there first.
    """

    runtime: str
    folder: Path
    identity: str
    config: dict[str, Any]
    layout: Layout = field(default_factory=Layout.detect)

    @classmethod
    def prepare(cls, runtime: str, folder: Path, rootfs: Path, args: Sequence[str], **more: Any) -> Self:
        """A container that will run `args`; `more` goes to `configuration`."""
        # its name is the id: unique, too
        bundle = Path(tempfile.mkdtemp(prefix=f"{runtime}-{owner()}-", dir=folder))
        identity = bundle.name
        config = configuration(args, cgroups_path=f"{PARENT}/{identity}", rootfs=rootfs, **more)
        return cls(runtime, bundle, identity, config)

    @property
    def cgroup(self) -> Path:
        """The container's directory on cgroup2."""
        return self.layout.cgroup2 / PARENT.lstrip("/") / self.identity

    @property
    def output(self) -> Path:
        """Where stdout and stderr of a created container go."""
        return self.folder / "output"

    def __enter__(self) -> Self:
        (self.folder / "config.json").write_text(json.dumps(self.config, indent=1))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call("delete", "--force", self.identity)
        self._kill_all()
        self.layout.remove(self.identity)

    def make_cgroup(self) -> Path:
        """Make the directory on cgroup2 before the runtime does."""
        self.cgroup.mkdir(parents=True, exist_ok=True)
        return self.cgroup

    def command(self, *words: str) -> list[str]:
        """The runtime's command line with its state kept beside the bundle."""
        return [self.runtime, "--root", str(self.folder / "state"), *words]

    def call(self, *words: str, timeout: float = TIMEOUT) -> Ended:
        """Run one command of the runtime to its end. Raises OciError if it hangs; the container is killed."""
        try:
            done = subprocess.run(
                self.command(*words),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self._kill_all()
            raise OciError(f"{self.runtime} {' '.join(words)} did not end within {timeout} s") from None
        return Ended(done.returncode, done.stdout, done.stderr)

    def run(self, timeout: float = TIMEOUT) -> Ended:
        """Run in the foreground; the status is the container's own."""
        return self.call("run", "--bundle", str(self.folder), self.identity, timeout=timeout)

    def create(self) -> None:
        """Create, with the output going to `output` (a pipe would be held open by the container)."""
        words = self.command("create", "--bundle", str(self.folder), self.identity)
        try:
            with self.output.open("wb") as out:
                done = subprocess.run(
                    words,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    timeout=TIMEOUT,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            self._kill_all()
            raise OciError(f"{self.runtime} create did not end within {TIMEOUT} s") from None
        if done.returncode:
            raise OciError(f"{self.runtime} create: {self.output.read_text(errors='replace').strip()}")

    def start(self) -> None:
        """Let a created container's program begin."""
        self.call("start", self.identity).good()

    def exec(self, *args: str, timeout: float = TIMEOUT) -> Ended:
        """Run another program in the running container; the status is that program's."""
        return self.call("exec", self.identity, *args, timeout=timeout)

    def pause(self) -> None:
        """Freeze it."""
        self.call("pause", self.identity).good()

    def resume(self) -> None:
        """Thaw it."""
        self.call("resume", self.identity).good()

    def kill(self, signal: str = "KILL") -> None:
        """Send a signal (name without SIG) to the first process."""
        self.call("kill", self.identity, signal).good()

    def state(self) -> dict[str, Any]:
        """The runtime's state: `status` is creating, created, running, paused or stopped; `pid`."""
        state: dict[str, Any] = json.loads(self.call("state", self.identity).good().stdout)
        return state

    def pid(self) -> int:
        """The first process, as this machine numbers it."""
        return int(self.state()["pid"])

    def wait(self, status: str = "stopped", timeout: float = TIMEOUT) -> None:
        """Wait for a status; raises OciError with what the container said when the time is over."""
        end = time.monotonic() + timeout
        while (now := self.state()["status"]) != status:
            if time.monotonic() > end:
                said = self.output.read_text(errors="replace") if self.output.exists() else ""
                raise OciError(f"{self.identity} is {now}, not {status}, after {timeout} s: {said}")
            time.sleep(0.02)

    def wait_for_output(self, text: str, timeout: float = TIMEOUT) -> None:
        """Wait until a created container has written `text`."""
        end = time.monotonic() + timeout
        while text not in (said := self.output.read_text(errors="replace")):
            if time.monotonic() > end:
                raise OciError(f"{self.identity} did not say {text!r} within {timeout} s: {said!r}")
            time.sleep(0.01)

    def _kill_all(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            (self.cgroup / "cgroup.kill").write_text("1")
