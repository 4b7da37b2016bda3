"""strace as the truth: what one program and all its descendants called, by number and ABI.

strace runs outside the recorded cgroup and starts a shell that joins the cgroup and
execs the program, so the recorder sees the program alone, and the log is cut before
that exec. With `--syscall-number` the log has the kernel's numbers, and with
`--quiet=attach` it says when a process changes its ABI (with -o, strace leaves that
out by default), so that nothing depends on how strace spells a name.

What strace cannot see: children made with CLONE_UNTRACED, and what a process does that
traces others itself. For these there is `tests.truth.audit`.
"""

import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from recorder.model.abi import Abi
from tests.truth.calls import X32_BIT, Call, Truth, call_name, is_known

_LINE = re.compile(r"(?P<pid>\d+) +\[ *(?P<number>-?\d+|\?+)\] (?P<rest>.*)", re.DOTALL)
_EXEC = re.compile(r" *\[ *\d+\] execve\(")
_PID_CHANGED = re.compile(r"<pid changed to \d+ \.\.\.>$")
_MODE = re.compile(r"\[ Process PID=(\d+) runs in (.+) mode\. \]")
_CALL = re.compile(r"(\w+)\(")
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>")
# Killed while it was stopped at the entry of a call, before strace could ask which: the kernel ends
# it there (ptrace_report_syscall_entry, then syscall_trace_enter gives -1), and the number is stale.
_NEVER_MADE = re.compile(r"\?\?\?\(|<\.\.\. \?\?\? resumed>")
_SUPERSEDED = re.compile(r"\+\+\+ superseded by execve in pid (\d+) \+\+\+")
_MODES = {"64 bit": Abi.X86_64, "32 bit": Abi.I386, "x32": Abi.X32}
# These two never return; strace shows them like a call during which the process was killed.
_ENDS = frozenset({"exit", "exit_group"})


class StraceError(AssertionError):
    """The log is not what this parser understands, or strace did not work."""


@dataclass(slots=True)
class _Task:
    """One thread as the log tells it.

    A new task's ABI is not in the log where it is the ABI that strace happened to
    be at when it first saw the task. Until a mode line or a pair of number and name
    that only one ABI has, its calls wait in `waiting`.
    """

    abi: Abi | None = None
    waiting: list[tuple[int, bool]] = field(default_factory=list)
    pending: tuple[int, str] | None = None


class Log:
    """Reads a log written with `strace -f --syscall-number --quiet=attach`, line by line."""

    def __init__(self) -> None:
        self.calls: set[Call] = set()
        self.unknown: set[int] = set()
        self._uncertain: set[Call] = set()
        self._tasks: dict[int, _Task] = {}

    @property
    def uncertain(self) -> set[Call]:
        """Calls seen only as pending in a process that was killed."""
        return self._uncertain - self.calls

    def feed(self, line: str) -> None:
        """Take one line; raises StraceError if it is none that strace is known to write."""
        match = _LINE.fullmatch(line)
        if match is None:
            raise StraceError(f"not a line of strace -f --syscall-number: {line!r}")
        task = self._tasks.setdefault(int(match["pid"]), _Task())
        # `???` stands for -1, which libc-free programs and tracers use for "no call"
        number = _signed(-1 if match["number"].startswith("?") else int(match["number"]))
        rest = match["rest"]
        if mode := _MODE.fullmatch(rest):
            if int(mode[1]) != int(match["pid"]) or mode[2] not in _MODES:
                raise StraceError(f"a mode line for another process or of an unknown ABI: {line!r}")
            # waiting calls came before the change: nothing says which ABI they had
            self._settle(task, task.abi or self._only_native(task))
            task.abi = _MODES[mode[2]]
        elif rest.startswith("+++ "):
            if superseded := _SUPERSEDED.fullmatch(rest):
                # another thread's exec succeeded, and goes on under this, the leader's, id
                self._end(self._tasks.setdefault(int(superseded[1]), _Task()), killed=False)
            self._end(task, killed=True)
        elif rest.startswith("--- ") or _NEVER_MADE.match(rest):
            pass  # a signal, a stop, or the end before a call
        elif resumed := _RESUMED.match(rest):
            self._resumed(task, resumed[1], rest)
        elif call := _CALL.match(rest):
            self._called(task, number, call[1], rest)
        else:
            raise StraceError(f"neither call, signal, end nor mode: {line!r}")

    def close(self) -> None:
        """Settle what is still open; call once after the last line."""
        for task in self._tasks.values():
            self._end(task, killed=True)

    def _called(self, task: _Task, number: int, name: str, rest: str) -> None:
        if task.pending is not None:  # its end was never shown
            self._count(task, task.pending[0], certain=False)
            task.pending = None
        self._learn(task, number, name)
        if rest.endswith("<unfinished ...>"):
            task.pending = (number, name)
        elif _PID_CHANGED.search(rest):
            self._count(task, number, certain=True)
        else:
            self._count(task, number, certain=name in _ENDS or not rest.endswith("= ?"))

    def _resumed(self, task: _Task, name: str, rest: str) -> None:
        if task.pending is None:
            # an exec by a thread that is not the leader goes on under the leader's id
            if name not in ("execve", "execveat"):
                raise StraceError(f"{name} resumed that never began: {rest!r}")
            return
        number, began = task.pending
        if began != name:
            if name not in ("execve", "execveat"):
                raise StraceError(f"{began} began, {name} resumed: {rest!r}")
            self._count(task, number, certain=False)
        else:
            self._count(task, number, certain=name in _ENDS or not rest.endswith("= ?"))
        task.pending = None

    def _end(self, task: _Task, *, killed: bool) -> None:
        if task.pending is not None:
            number, name = task.pending
            self._count(task, number, certain=not killed or name in _ENDS)
            task.pending = None
        self._settle(task, task.abi or Abi.X86_64)
        task.abi = None

    def _learn(self, task: _Task, number: int, name: str) -> None:
        """If its ABI is unknown yet, see whether number and name together tell it."""
        if task.abi is not None:
            return
        if number & X32_BIT and number > 0:
            self._settle(task, Abi.X32)
        native, compat = call_name(Abi.X86_64, number), call_name(Abi.I386, number)
        if (name == native) != (name == compat):
            self._settle(task, Abi.X86_64 if name == native else Abi.I386)

    def _only_native(self, task: _Task) -> Abi:
        if task.waiting:
            raise StraceError(f"the ABI of {[number for number, _ in task.waiting]} is not in the log")
        return Abi.X86_64

    def _settle(self, task: _Task, abi: Abi) -> None:
        task.abi = abi
        waiting, task.waiting = task.waiting, []
        for number, certain in waiting:
            self._count(task, number, certain=certain)

    def _count(self, task: _Task, number: int, *, certain: bool) -> None:
        if task.abi is None:
            task.waiting.append((number, certain))
            return
        call = _call(task.abi, number)
        if call is None:
            # of a task that is being killed strace may read other registers than a call's
            self.unknown |= {number} if certain else set()
        else:
            (self.calls if certain else self._uncertain).add(call)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >= 1 << 63 else number


def _call(abi: Abi, number: int) -> Call | None:
    if abi is Abi.X32:
        number = number & ~X32_BIT if number >= 0 else number
    return Call(abi, number) if is_known(abi, number) else None


def parse(lines: Iterable[str], skip_execs: int = 0) -> Truth:
    """The truth in a log; with `skip_execs` N, from exec number N + 1 of the first process on."""
    log = Log()
    first: str | None = None
    execs = 0
    started = skip_execs == 0
    for raw in lines:
        line = raw.rstrip("\n")
        if not started:
            pid, _, rest = line.partition(" ")
            first = first or pid
            execs += pid == first and _EXEC.match(rest) is not None
            started = execs > skip_execs
        if started:
            log.feed(line)
    if not started:
        raise StraceError("the program's exec is not in the log: it was never started")
    log.close()
    return Truth(frozenset(log.calls), frozenset(log.uncertain), frozenset(log.unknown))


TRACER = ("strace", "-f", "--syscall-number", "--quiet=attach", "-s", "0", "-e", "verbose=none")
"""How strace is run so that `parse` can read its log; `-o FILE` and the program follow."""

# 0 is the shell itself: it joins and becomes the program
_JOIN = 'echo 0 >"$0/cgroup.procs" || exit 125; exec "$@"'
_PLAIN = 'exec "$@"'


def run(
    command: Sequence[str],
    cgroup: Path | None = None,
    *,
    stdin: int | bytes | None = subprocess.DEVNULL,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 120,
) -> Truth:
    """Run `command` in `cgroup` (or where we are) under strace that stays outside; the truth about it.

    The program is looked up on PATH first, so that exactly one exec starts it.
    Raises StraceError if strace fails or the time (seconds) is over; then everything
    in `cgroup` is killed.
    """
    program = shutil.which(command[0])
    if program is None:
        raise StraceError(f"{command[0]}: not found")
    with tempfile.TemporaryDirectory(prefix="strace-") as folder:
        log = Path(folder) / "log"
        traced = ["sh", "-c", _JOIN if cgroup else _PLAIN, str(cgroup or "sh"), program, *command[1:]]
        with subprocess.Popen(
            [*TRACER, "-o", str(log), *traced],
            stdin=subprocess.PIPE if isinstance(stdin, bytes) else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
        ) as process:
            try:
                stdout, stderr = process.communicate(stdin if isinstance(stdin, bytes) else None, timeout)
            except subprocess.TimeoutExpired:
                if cgroup is not None:
                    (cgroup / "cgroup.kill").write_text("1")
                process.send_signal(signal.SIGTERM)
                process.kill()
                raise StraceError(f"{command} did not end within {timeout} s") from None
        if not log.exists():
            raise StraceError(f"strace wrote no log: {stderr.decode(errors='replace')}")
        with log.open(encoding="utf-8", errors="replace") as lines:
            truth = parse(lines, skip_execs=1)
    status = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return Truth(truth.calls, truth.uncertain, truth.unknown, status, stdout)
