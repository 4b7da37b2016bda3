"""Where workloads run: containers that see this machine's programs, read-only, with or without a profile."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.enforcement import disturbance
from tests.enforcement.conversation import Conversation, NotHeardError, Result
from tests.enforcement.workload import INSIDE, PROGRAMS, SOURCES, Workload
from tests.truth import oci

# The same for recorded commands: a program may read its environment.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LC_ALL": "C"}

# What happens at which point of a life. In the middle of the work it comes at a moment of chance.
QUIET: Mapping[str, Sequence[str]] = {}
PAUSE_FIRST = {"ready": ("pause",), "working": ("stop",), "worked": ("signal",)}
STOP_FIRST = {"ready": ("stop",), "working": ("pause",), "worked": ("signal",)}
BOTH_FIRST = {"ready": ("pause", "stop"), "worked": ("stop", "signal", "pause")}


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder with a root file system, and the static programs by name."""

    folder: Path
    rootfs: Path
    programs: Mapping[str, Path]

    @classmethod
    def build(cls, folder: Path, programs: Mapping[str, Path]) -> "Stage":
        """Nothing is copied but static programs; /usr and /etc are bound when a container starts."""
        rootfs = folder / "rootfs"
        for name in ("proc", "sys", "dev", "run", "tmp", "var/lib", "usr", "etc", INSIDE[1:]):
            (rootfs / name).mkdir(parents=True)
        inside = {f"{PROGRAMS}/{name}": program for name, program in programs.items()}
        for target, program in inside.items():
            oci.copy_program(program, rootfs, target)
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            here = Path("/", name)
            if here.is_symlink():
                (rootfs / name).symlink_to(os.readlink(here))
            elif here.is_dir():
                (rootfs / name).mkdir()
        return cls(folder, rootfs, programs)

    def _mounts(self) -> list[dict[str, Any]]:
        names = ("usr", "etc", "bin", "sbin", "lib", "lib32", "lib64", "libx32")
        own = [f"/{name}" for name in names if (self.rootfs / name).is_dir()]
        bound = {path: path for path in own if not (self.rootfs / path[1:]).is_symlink()}
        bound[INSIDE] = str(SOURCES)
        return [oci.mount(inside, "bind", here, "rbind", "ro") for inside, here in bound.items()]

    def container(
        self,
        runtime: str,
        args: Sequence[str],
        profile: Mapping[str, Any] | None = None,
        no_new_privileges: bool = False,
    ) -> oci.Container:
        """A container of these arguments, under this `linux.seccomp`."""
        return oci.Container.prepare(
            runtime,
            self.folder,
            self.rootfs,
            args,
            seccomp=profile,
            no_new_privileges=no_new_privileges,
            mounts=self._mounts(),
            env=[f"{name}={value}" for name, value in ENVIRONMENT.items()],
        )

    def start(
        self, container: oci.Container, *, in_two_steps: bool = True, seconds: float = 60
    ) -> Conversation:
        """Start a container, by `create` and `start` or by `run`; the status will be its own."""
        pid_file = str(container.folder / "pid")
        more = ("--bundle", str(container.folder), "--pid-file", pid_file, container.identity)
        if in_two_steps:
            start = container.command("start", container.identity)
            words = [*container.command("create", *more), "--", *start]
        else:
            words = container.command("run", *more)
        monitor = [str(self.programs["monitor"]), str(session_file(container)), pid_file]
        return Conversation(
            [*monitor, *words],
            container.folder / "stderr",
            seconds=seconds,
            kill=lambda: container.call("kill", container.identity, "KILL"),
        )

    def run(
        self,
        runtime: str,
        command: Sequence[str],
        profile: Mapping[str, Any] | None = None,
        no_new_privileges: bool = False,
    ) -> Result:
        """Run a static program, by its name, with arguments, to its end."""
        args = [f"{PROGRAMS}/{command[0]}", *command[1:]]
        with self.container(runtime, args, profile, no_new_privileges) as container:
            return self.start(container, seconds=20).finish()

    def live(
        self,
        workload: Workload,
        container: oci.Container,
        disturbances: Mapping[str, Sequence[str]] = QUIET,
        *,
        in_two_steps: bool = True,
        seconds: float = 60,
    ) -> Result:
        """A workload's whole life in a container that was entered; a life cut short shows in the result."""
        with self.start(container, in_two_steps=in_two_steps, seconds=seconds) as conversation:
            try:
                if not in_two_steps:
                    _wait_until_known(container, conversation)
                follow(workload, conversation, container, disturbances)
            except (NotHeardError, disturbance.NoEffectError, oci.OciError) as error:
                result = conversation.finish(within=2)
                return Result(result.status, result.stdout, result.stderr + f"\n{error}".encode())
            return conversation.finish()


def _pause(container: oci.Container, attempts: int = 5) -> None:
    """Freeze it. With cgroup v1 runc gives up early on a busy machine, also without a profile (1 of 600)."""
    while True:
        try:
            return container.pause()
        except oci.OciError as error:
            attempts -= 1
            if "unable to freeze" not in str(error) or not attempts:
                raise


def _wait_until_known(container: oci.Container, conversation: Conversation, seconds: float = 20) -> None:
    """With `run`, the program may speak before the runtime has noted that there is a container."""
    end = time.monotonic() + seconds
    while not conversation.ended and container.call("state", container.identity).status:
        if time.monotonic() > end:
            raise oci.OciError(f"{container.runtime} run: no state after {seconds} s")
        time.sleep(0.005)


def session_file(container: oci.Container) -> Path:
    """Where the audit session id of a container is, once it has started."""
    return container.folder / "session"


def follow(
    workload: Workload,
    conversation: Conversation,
    container: oci.Container | None = None,
    disturbances: Mapping[str, Sequence[str]] = QUIET,
) -> None:
    """Lead a workload through its life; what to disturb needs a container."""

    def disturb(point: str) -> None:
        for kind in disturbances.get(point, ()):
            assert container is not None
            if kind == "pause":
                _pause(container)
                container.resume()
            elif kind == "stop":
                disturbance.stop_and_continue(container.cgroup)
            else:
                disturbance.send_handled(container.cgroup, workload.signal, workload.receiver)
                if workload.answers:
                    conversation.hear("signal")

    conversation.hear("ready")
    disturb("ready")
    conversation.say("work")
    disturb("working")
    conversation.hear("worked")
    disturb("worked")
    conversation.say("end")
