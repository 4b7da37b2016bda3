"""`recorder record`: the system calls of a command, a cgroup or a process, as a profile."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from dataclasses import dataclass

from recorder.cli.arguments import Commands
from recorder.cli.cgroup_recording import record_cgroup
from recorder.cli.command import Command, find_user
from recorder.cli.denial_options import accesses, add_denial_options, denials, module_denials, say_problem
from recorder.cli.output import STDOUT
from recorder.cli.process_recording import record_process
from recorder.cli.record_selection import add_selected, record_selected, selected
from recorder.cli.recording import Recording
from recorder.cli.result import add_options, check_options, emit
from recorder.cli.seconds import check_seconds
from recorder.cli.signals import FORWARDED, Mask, blocked
from recorder.cli.status import DONE, record_status, say_failure
from recorder.cli.summary import LiveLine
from recorder.containers.cgroup import cgroup2_mount, find_cgroup
from recorder.containers.run import RunCgroup
from recorder.containers.running_process import RunningProcess, find_process
from recorder.kernel.backend import Backend, SlotBackend
from recorder.kernel.loaders import LOADERS, load
from recorder.kernel.spec import Bounds, TaskBounds, tasks_spec
from recorder.model.errors import (
    Incomplete,
    InternalError,
    NotPermitted,
    RecorderError,
    UsageError,
)
from recorder.model.record import Record
from recorder.profiles.base import Base, resolve_base
from recorder.profiles.label import dns_label

TICK = 0.25
"""Seconds between two looks while a recording runs."""
GRACE = 10.0
"""Seconds that COMMAND has to end after --duration's SIGTERM."""

EPILOG = """\
status: COMMAND's own; 128+N if signal N ended it; 127 COMMAND not found; 126 it cannot be run;
125 the recording, the writing or (--strict) completeness failed. Without a COMMAND: 0 when the
result is written, also after Ctrl-C, SIGTERM or --duration; 125 else.
"""


def add_parser(commands: Commands) -> None:
    """Declares the command."""
    parser = commands.add_parser(
        "record",
        help="record a command, container, pod, unit, cgroup or process, and write the profile it needs",
        description="Record the system calls of COMMAND, or of what runs on this machine already or will, "
        "and write the seccomp profile that it needs.",
        usage="recorder record [OPTIONS] (--container ID-OR-NAME | --pod NAMESPACE/NAME[/CONTAINER] | "
        "--unit NAME | --cgroup PATH | --pid PID | -- COMMAND...)",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_selected(parser)
    add_options(parser)
    parser.add_argument(
        "--duration", type=float, metavar="S", help="end after S seconds (COMMAND gets SIGTERM)"
    )
    parser.add_argument("--strict", action="store_true", help="fail if the record is not complete")
    parser.add_argument(
        "--user", metavar="U", help="run COMMAND as this user (default: the caller of sudo, else unchanged)"
    )
    parser.add_argument(
        "--kill-on-exit",
        action="store_true",
        help="if the recorder is killed, kill COMMAND and all it started",
    )
    parser.add_argument(
        "--loader",
        choices=LOADERS,
        default="auto",
        help="what loads the BPF programs: auto (default) takes libbpf where the kernel can, and bcc, which "
        "compiles with kernel headers, where it cannot",
    )
    parser.add_argument("--cgroup", metavar="PATH", help="record this cgroup and those below it")
    parser.add_argument(
        "--pid",
        type=int,
        metavar="PID",
        help="record this process, its threads, its children and what they start from now on, in whichever "
        "cgroups they are; the record is lossy (attached_late)",
    )
    parser.add_argument(
        "--phases",
        choices=("exec", "container"),
        help="how set-up is told from workload: exec (default): a task's first exec after it came into the "
        "cgroup; container: for a cgroup that an OCI runtime fills",
    )
    add_denial_options(parser)
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    parser.set_defaults(run=run)


@dataclass(frozen=True, slots=True)
class _Request:
    """The options, checked."""

    options: argparse.Namespace
    command: list[str]
    base: Base
    name: str
    process: RunningProcess | None


def _check(options: argparse.Namespace) -> _Request:
    """Everything that can be refused before anything is done."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    given = sum((bool(command), bool(options.cgroup), options.pid is not None))
    if given != 1:
        raise UsageError(
            "give either --cgroup PATH, --pid PID or -- COMMAND, "
            + ("one of them alone" if given else "one of them; see: recorder record --help")
        )
    check_options(options)
    check_seconds(options, "duration")
    for option, given in (("--user", options.user), ("--kill-on-exit", options.kill_on_exit)):
        if given and not command:
            raise UsageError(f"{option} is for a COMMAND; with --cgroup or --pid nothing is started")
    if command and options.phases == "container":
        raise UsageError("--phases container is for a --cgroup that an OCI runtime fills, not for a COMMAND")
    if options.pid is not None and not 0 < options.pid < 1 << 31:
        raise UsageError(f"--pid: {options.pid} is no process id")
    if denials(options) and options.loader == "bcc":
        raise UsageError("--loader bcc is not for --kind denials: denied calls are found by libbpf alone")
    accesses(options)
    if options.pid is not None and options.loader == "bcc":
        raise UsageError("--loader bcc is not for --pid: processes are followed by libbpf alone")
    if options.pid is not None and (options.denials_source or options.raw_paths):
        raise UsageError(
            "--denials-source and --raw-paths are not for --pid: of a process only denied calls are found"
        )
    if options.pid is not None and options.phases:
        raise UsageError("--phases is not for --pid: all that a running process does is its workload")
    process = None if options.pid is None else find_process(options.pid)
    name = options.name or dns_label(process.name if process else command[0] if command else options.cgroup)
    base = resolve_base(options.base)
    if os.geteuid() != 0:
        raise NotPermitted(
            "recording needs root, to load BPF programs and to make a cgroup; run it with sudo"
        )
    cgroup2_mount()
    return _Request(options, command, base, name, process)


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; failures are said on stderr."""
    outcome = _Outcome()
    try:
        if chosen := selected(options):
            record_selected(options, chosen)
            return DONE
        request = _check(options)
        with blocked() as mask:
            if request.command:
                record = _record_command(request, mask, outcome)
            elif request.process:
                record = _record_process(request, request.process)
            else:
                record = _record_cgroup(request, outcome)
        if outcome.loader:
            print(f"recorder: loader: {outcome.loader}", file=sys.stderr)
        _write(request, record)
    except RecorderError as error:
        if outcome.status is not None:
            print(f"recorder: COMMAND ended with status {outcome.status}", file=sys.stderr)
        say_failure(error)
        return record_status(error)
    return outcome.status or 0


def _write(request: _Request, record: Record) -> None:
    options = request.options
    emit(record, options, request.name, request.base)
    if options.strict and not record.verdict.complete:
        raise Incomplete(
            f"the record is not complete ({record.verdict}); the result was written all the same"
        )


@dataclass(slots=True)
class _Outcome:
    """COMMAND's status, once it has ended; which loader `auto` took, and why."""

    status: int | None = None
    loader: str = ""


def _backend(request: _Request, outcome: _Outcome) -> Backend:
    options = request.options
    loaded = load(options.loader, Bounds(denials=denials(options), accesses=accesses(options)))
    if loaded.why:
        outcome.loader = f"{loaded.backend.loader}, {loaded.why}"
    return loaded.backend


def _record_command(request: _Request, mask: Mask, outcome: _Outcome) -> Record:
    options = request.options
    user = find_user(options.user, dict(os.environ))
    found = module_denials(options)
    backend = _backend(request, outcome)
    try:
        place = RunCgroup()
        try:
            recording = record_cgroup(backend, place.cgroup, "exec", request.name, found)
            say_problem(found)
            command = Command(
                request.command,
                place.cgroup,
                mask,
                user=user,
                stdout_to_stderr=options.output == STDOUT,
                kill_on_exit=options.kill_on_exit,
            )
            try:
                _follow(command, place, recording, options.duration, outcome)
                # With its cgroup the kernel side ends the recording by itself.
                place.remove()
                return recording.finish()
            finally:
                command.close()
        finally:
            place.remove()
    finally:
        if found:
            found.close()
        backend.close()


def _follow(
    command: Command, place: RunCgroup, recording: Recording, duration: float | None, outcome: _Outcome
) -> None:
    """Until COMMAND and all that it started have ended, or somebody ends the recording."""
    deadline = time.monotonic() + duration if duration else None
    while not command.wait(deadline and max(0.0, deadline - time.monotonic())):
        if deadline is None or time.monotonic() < deadline:
            raise InternalError("waiting for COMMAND ended without a reason")
        command.signal(signal.SIGTERM)
        if not command.wait(GRACE):
            place.cgroup.kill()
        deadline = None
    outcome.status = command.status
    left = place.cgroup.pids()
    if left:
        print(
            f"recorder: COMMAND has ended with status {outcome.status}; {len(left)} of its processes run on "
            "and are recorded until they end; Ctrl-C or SIGTERM ends the recording and leaves them alone",
            file=sys.stderr,
        )
    while place.cgroup.populated():
        recording.poll()
        if command.drain(TICK) or (deadline and time.monotonic() >= deadline):
            return


def _record_cgroup(request: _Request, outcome: _Outcome) -> Record:
    options = request.options
    cgroup = find_cgroup(options.cgroup)
    found = module_denials(options)
    backend = _backend(request, outcome)
    try:
        recording = record_cgroup(backend, cgroup, options.phases or "exec", request.name, found)
        say_problem(found)
        return _until_ended(recording, backend, options.duration)
    finally:
        if found:
            found.close()
        backend.close()


def _record_process(request: _Request, process: RunningProcess) -> Record:
    # Here and not above: it costs the others' recordings memory for nothing.
    from recorder.kernel.libbpf_task_backend import LibbpfTaskBackend

    backend = LibbpfTaskBackend(tasks_spec(TaskBounds(denials=denials(request.options))))
    try:
        recording = record_process(backend, process, request.name)
        return _until_ended(recording, backend, request.options.duration)
    finally:
        backend.close()


def _until_ended(recording: Recording, backend: SlotBackend, duration: float | None) -> Record:
    """Until the target has ended by itself, or somebody ends the recording."""
    live = LiveLine(sys.stderr)
    try:
        print(f"recorder: recording {recording.what}; Ctrl-C ends it", file=sys.stderr, flush=True)
        deadline = time.monotonic() + duration if duration else None
        while not recording.ended:
            left = deadline - time.monotonic() if deadline else TICK
            if left <= 0 or signal.sigtimedwait(FORWARDED, 0):
                break
            backend.wait(min(TICK, left))
            recording.poll()
            live.show(recording)
        live.clear()
        return recording.finish()
    finally:
        live.clear()
