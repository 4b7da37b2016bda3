"""COMMAND: run in a cgroup, in the foreground, with its own stdin and signals."""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import signal
import stat
from collections.abc import Sequence
from dataclasses import dataclass

from recorder.cli.signals import FORWARDED, WATCHED, Mask
from recorder.cli.status import SIGNALLED
from recorder.containers.cgroup import Cgroup
from recorder.model.errors import (
    CommandNotExecutable,
    CommandNotFound,
    NotPermitted,
    RecorderError,
    UsageError,
)

_PR_SET_PDEATHSIG = 1

# Python ignores these for itself; a program expects their defaults.
_PYTHON_IGNORES = (signal.SIGPIPE, signal.SIGXFSZ)


@dataclass(frozen=True, slots=True)
class User:
    """Whom COMMAND runs as."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str


def find_user(name: str | None, environment: dict[str, str]) -> User | None:
    """The user of --user; without it the caller of sudo; None: as the recorder.

    Raises UsageError for a user that does not exist.
    """
    by_sudo = name is None
    if by_sudo:
        if os.geteuid() != 0 or "SUDO_UID" not in environment:
            return None
        name = environment["SUDO_UID"]
    assert name is not None  # noqa: S101 - for the type checker
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except (KeyError, OverflowError):
        where = "SUDO_UID" if by_sudo else "--user"
        raise UsageError(f"{where}: there is no user {name}; see: getent passwd") from None
    if entry.pw_uid == os.geteuid():
        return None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell)


class Command:
    """A started COMMAND. Its exec has succeeded when the constructor returns.

    Made while WATCHED is blocked; mask: the signal mask that COMMAND gets.

    Raises CommandNotFound, CommandNotExecutable or NotPermitted.
    """

    def __init__(
        self,
        argv: Sequence[str],
        cgroup: Cgroup,
        mask: Mask,
        *,
        user: User | None = None,
        stdout_to_stderr: bool = False,
        kill_on_exit: bool = False,
    ) -> None:
        self.argv = list(argv)
        self._cgroup = cgroup
        self._user = user
        self._stdout_to_stderr = stdout_to_stderr
        self._parent = os.getpid()
        self._kill_on_exit = kill_on_exit
        self._mask = mask
        self._status: int | None = None
        self._guard = Guard(cgroup) if kill_on_exit else None
        report, child_end = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(report)
            self._become(child_end)
        os.close(child_end)
        with os.fdopen(report) as pipe:
            message = pipe.read()
        if message:
            os.waitpid(self.pid, 0)
            self.close()
            raise self._failure(message)

    def _become(self, report: int) -> None:
        """In the child: everything up to the exec. Never returns."""
        code = errno.EINVAL
        step = "join the cgroup"
        try:
            (self._cgroup.path / "cgroup.procs").write_text("0")
            step = "prepare"
            if self._kill_on_exit:
                # Until the exec of a set-user-ID program (prctl(2)); the guard does the rest.
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != self._parent:
                    os._exit(125)
            for number in _PYTHON_IGNORES:
                signal.signal(number, signal.SIG_DFL)
            if self._stdout_to_stderr:
                os.dup2(2, 1)
            environment = dict(os.environ)
            if self._user:
                step = f"become {self._user.name}"
                os.initgroups(self._user.name, self._user.gid)
                os.setgid(self._user.gid)
                os.setuid(self._user.uid)
                environment |= {
                    "HOME": self._user.home,
                    "USER": self._user.name,
                    "LOGNAME": self._user.name,
                    "SHELL": self._user.shell,
                }
            step = "exec"
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            self._exec(environment)
        except OSError as error:
            code = error.errno or code
        except ValueError:  # a NUL in an argument
            pass
        os.write(report, f"{code} {step}".encode())
        os._exit(127)

    def _exec(self, environment: dict[str, str]) -> None:
        try:
            os.execvpe(self.argv[0], self.argv, environment)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
        # As execvp(3) and env(1): a script without an interpreter's line is the shell's.
        path = find_program(self.argv[0], environment.get("PATH", os.defpath))
        os.execve("/bin/sh", ["/bin/sh", path, *self.argv[1:]], environment)

    def _failure(self, message: str) -> RecorderError:
        number, _, step = message.partition(" ")
        code = int(number)
        text = os.strerror(code)
        if step != "exec":
            return NotPermitted(f"cannot {step} for {self.argv[0]}: {text}")
        if code in (errno.ENOENT, errno.ENOTDIR):
            return CommandNotFound(f"{self.argv[0]}: {text}; see: command -v {self.argv[0]}")
        return CommandNotExecutable(f"{self.argv[0]}: cannot be run: {text}")

    def wait(self, seconds: float | None = None) -> bool:
        """Until COMMAND has ended (True), or the time is over; passes signals on meanwhile."""
        while self._status is None:
            received = (
                signal.sigwaitinfo(WATCHED) if seconds is None else signal.sigtimedwait(WATCHED, seconds)
            )
            if received is None:
                return False
            if received.si_signo == signal.SIGCHLD:
                self._reap()
            elif received.si_code <= 0:  # SI_USER and the like: from a process, not the terminal
                self.signal(received.si_signo)
        return True

    def _reap(self) -> None:
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            self._status = os.waitstatus_to_exitcode(status)

    def signal(self, number: int) -> None:
        """To COMMAND's own process, while it lives."""
        if self._status is None:
            os.kill(self.pid, number)

    @property
    def status(self) -> int:
        """As a shell gives it: 128 + N after signal N."""
        if self._status is None:
            raise ValueError("COMMAND runs still")
        return self._status if self._status >= 0 else SIGNALLED - self._status

    def drain(self, seconds: float) -> int | None:
        """After its end: waits that long for processes it left; the number of a signal that came."""
        received = signal.sigtimedwait(FORWARDED, seconds)
        return received.si_signo if received else None

    def close(self) -> None:
        """Dismisses the guard; may be repeated."""
        if self._guard:
            self._guard.dismiss()


class Guard:
    """A process that kills what is in the cgroup when the recorder is gone without dismissing it."""

    def __init__(self, cgroup: Cgroup) -> None:
        reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._writer)
            os.setsid()  # the terminal's signals are not for it
            if not os.read(reader, 1):
                cgroup.kill()
            os._exit(0)
        os.close(reader)

    def dismiss(self) -> None:
        """Ends it; may be repeated."""
        if self._pid:
            os.write(self._writer, b"x")
            os.close(self._writer)
            os.waitpid(self._pid, 0)
            self._pid = 0


def find_program(name: str, path: str) -> str:
    """The file that execvp would take: the first on PATH that is an executable file."""
    if "/" in name:
        return name
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        try:
            if stat.S_ISREG(os.stat(candidate).st_mode) and os.access(candidate, os.X_OK):
                return candidate
        except OSError:
            continue
    return name
