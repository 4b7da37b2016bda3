"""The parent's side of recorder.kernel.bcc_compiler: starts it, and takes over what it loaded."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recorder.kernel import bcc_layout
from recorder.kernel.bcc_spec import MAPS, PROGRAMS, BccSpec
from recorder.kernel.headers import VARIABLE, Headers, flags
from recorder.model.errors import (
    BpfLoadError,
    Interrupted,
    MissingHeaders,
    MissingLibrary,
    NotPermitted,
    RecorderError,
)

# Under emulation bcc takes a minute of a processor, and a container may get a tenth of one.
SECONDS = 600.0
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGBUS)
_LOG_LINES = 12


@dataclass(frozen=True, slots=True)
class Compiled:
    """Descriptors by name, this process's own."""

    maps: dict[str, int]
    programs: dict[str, int]


def _request(spec: BccSpec, headers: Headers) -> dict[str, Any]:
    machine = os.uname().machine
    return {
        "text": spec.text() + bcc_layout.assertions(),
        "flags": [f"-I{spec.source.parent}", *spec.defines(machine), *flags(headers, machine)],
        "source_tree": str(headers.source),
        "archive": str(headers.archive) if headers.archive else "",
        "maps": MAPS,
        "programs": {program.name: not spec.events.get(program.name) for program in PROGRAMS},
    }


def compile_program(spec: BccSpec, headers: Headers, seconds: float = SECONDS) -> Compiled:
    """Compiles and loads in a child that has ended on return.

    Raises MissingLibrary, MissingHeaders, MissingObject, NotPermitted, UnsupportedKernel,
    BpfLoadError, or Interrupted if a blocked signal that ends a program came meanwhile.
    """
    request = _request(spec, headers)
    # In the reader's memory rather than a pipe, which a wordy compiler would fill.
    log = os.memfd_create("bcc")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with ours:
            with theirs:
                child = subprocess.Popen(
                    [sys.executable, "-m", "recorder.kernel.bcc_compiler", str(theirs.fileno())],
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            try:
                with contextlib.suppress(ConnectionError):  # it has ended already: no answer will come
                    ours.send(json.dumps(request).encode())
                message, fds = _answer(ours, time.monotonic() + seconds)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(10)  # its end, as it says the reason
            finally:
                child.kill()
                child.wait()
        answer = json.loads(message or "{}")
        if "maps" in answer:
            names = [*answer["maps"], *answer["programs"]]
            by_name = dict(zip(names, fds, strict=True))
            maps = {name: by_name[name] for name in answer["maps"]}
            programs = {name: by_name[name] for name in answer["programs"]}
            return Compiled(maps, programs)
        raise _error(answer, child.returncode, headers, _last_lines(log))
    finally:
        os.close(log)


def _answer(channel: socket.socket, deadline: float) -> tuple[bytes, list[int]]:
    while not select.select([channel], [], [], 0.1)[0]:
        came = [number for number in _ENDING if number in signal.sigpending()]
        if came:
            raise Interrupted(f"ended by {came[0].name} while the bcc loader compiled")
        if time.monotonic() > deadline:
            raise BpfLoadError("the bcc loader's compiler gave no answer in time; use --loader libbpf")
    try:
        message, fds, _, _ = socket.recv_fds(channel, 1 << 20, 64)
    except ConnectionError:
        return b"", []
    for fd in fds:
        os.set_inheritable(fd, False)
    return message, fds


def _last_lines(log: int) -> str:
    size = os.fstat(log).st_size
    text = os.pread(log, size, 0).decode(errors="replace")
    return "\n".join(text.splitlines()[-_LOG_LINES:])


def _error(answer: Mapping[str, str], status: int, headers: Headers, log: str) -> RecorderError:
    kind, text = answer.get("refused"), answer.get("text", "")
    if not answer and -status in _CRASHES:
        # Clang does that rather than complain, where a header breaks what it cannot do without.
        kind, text = "compile", f"the compiler died of {signal.Signals(-status).name}"
    if kind == "library":
        return MissingLibrary(
            f"cannot import bcc ({text}); install it for {sys.executable} (Debian: python3-bpfcc, and a "
            "virtual environment with system site packages; PyPI's bcc is another project)"
        )
    if kind == "permission":
        return NotPermitted(f"{text}; the bcc loader needs root")
    if kind in ("compile", "headers"):
        return MissingHeaders(
            f"bcc cannot compile with the kernel headers {headers}: {text}; install the package "
            f"linux-headers-{os.uname().release}, or set {VARIABLE} to other headers\n{log}".rstrip()
        )
    if kind == "load":
        return BpfLoadError(
            f"kernel {os.uname().release} refuses the bcc loader's programs: {text}\n{log}".rstrip()
        )
    return BpfLoadError(f"the bcc loader's compiler ended with {status} and no answer\n{log}".rstrip())
