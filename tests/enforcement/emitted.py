"""Profiles as `recorder record` emits them, from a command of this machine or from a container."""

import json
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command import Command
from tests.enforcement.conversation import Conversation
from tests.enforcement.stage import ENVIRONMENT, Stage, follow
from tests.enforcement.workload import Workload

# The calls of runc (1.1) and crun (1.8 to 1.28) themselves after the filter is on, and those that
# the kernel makes for a program or answers in the vDSO: a test's own lists, not the recorder's.
BASE = frozenset(
    """
    capget capset chdir close execve faccessat2 fstat fstatfs futex getcwd getdents64 getegid getppid mmap
    newfstatat openat openat2 prctl pselect6 read rt_sigaction rt_sigprocmask rt_sigreturn setgid setgroups
    setresgid setresuid setuid statx write
    """.split()  # noqa: SIM905
)
ALWAYS = frozenset(
    """
    exit exit_group rt_sigreturn sigreturn restart_syscall clock_getres clock_getres_time64 clock_gettime
    clock_gettime64 getcpu gettimeofday time
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Recorder:
    """`recorder record` on a stage."""

    command: Command
    stage: Stage

    def emit(self, workload: Workload, form: str = "oci") -> str:
        """What is written for a workload that nothing disturbs; raises AssertionError if recording fails."""
        with tempfile.TemporaryDirectory(dir=self.stage.folder) as folder:
            output = Path(folder) / "output"
            if workload.recorded_in:
                self._record_container(workload, ["-f", form, "-o", str(output)])
            else:
                self._record_command(workload, ["-f", form, "-o", str(output)], Path(folder) / "stderr")
            return output.read_text()

    def emit_command(self, command: Sequence[str], form: str = "oci") -> str:
        """The same for a command line that needs no conversation."""
        done = subprocess.run(
            [*self.command.words, "record", "--strict", "-f", form, "--", *command],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def _record_command(self, workload: Workload, options: Sequence[str], errors: Path) -> None:
        command = workload.outside(self.stage.programs)
        line = [*self.command.words, "record", "--strict", *options, "--", *command]
        with Conversation(line, errors, env=ENVIRONMENT) as conversation:
            try:
                follow(workload, conversation)
            finally:
                result = conversation.finish()
                assert b"verdict: complete" in result.stderr, result
        assert result.status not in (None, 125), result

    def _record_container(self, workload: Workload, options: Sequence[str]) -> None:
        container = self.stage.container(workload.recorded_in, workload.inside())
        cgroup = container.make_cgroup()
        line = ["record", "--strict", *options, "--cgroup", str(cgroup), "--phases", "container"]
        with self.command.started(*line, env=ENVIRONMENT) as recorder:
            assert recorder.stderr
            _hear(recorder, b"Ctrl-C ends it\n")
            with container:
                result = self.stage.live(workload, container)
                assert b"worked\n" in result.stdout, result
            try:
                _, errors = recorder.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                recorder.send_signal(signal.SIGINT)
                _, errors = recorder.communicate(timeout=20)
                raise AssertionError(f"it did not end with its cgroup: {errors.decode()}") from None
        assert recorder.returncode == 0, errors.decode()


def _hear(process: subprocess.Popen[bytes], text: bytes, seconds: float = 20) -> None:
    assert process.stderr
    end = time.monotonic() + seconds
    heard = b""
    while text not in heard:
        left = end - time.monotonic()
        ready = left > 0 and select.select([process.stderr], [], [], left)[0]
        part = os.read(process.stderr.fileno(), 4096) if ready else b""
        assert part, heard.decode()
        heard += part


def allowed(profile: dict[str, Any]) -> frozenset[str]:
    """The names that a `linux.seccomp` object or a SeccompProfile's spec allows."""
    rules = profile["syscalls"]
    return frozenset(name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"])


def scope(profile: dict[str, Any]) -> list[str]:
    """The names that only the recording can have brought in."""
    return sorted(allowed(profile) - BASE - ALWAYS)


def moved(profile: dict[str, Any], names: Sequence[str], action: str | None = None) -> dict[str, Any]:
    """The profile with names taken out of what it allows, into a rule of `action` if there is one."""
    changed: dict[str, Any] = json.loads(json.dumps(profile))
    (rule,) = (rule for rule in changed["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW")
    assert set(names) <= set(rule["names"])
    rule["names"] = [name for name in rule["names"] if name not in names]
    if action is not None:
        changed["syscalls"].append({"names": list(names), "action": action})
    return changed
