"""Builds tests/programs/*.c: programs whose calls are known exactly from their source.

They are x86 programs (64-bit, and `NAME32` for i386). Built once into build/programs and
again when a source, the header or a flag changes.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from recorder.model.abi import Abi
from tests.truth.calls import Call, calls

_SOURCES = Path(__file__).parent.parent / "programs"
_BUILD = Path(__file__).parents[2] / "build" / "programs"
_FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-static")
_BARE = (
    *("-nostdlib", "-ffreestanding", "-fno-stack-protector", "-fno-pie", "-no-pie"),
    *("-fno-asynchronous-unwind-tables", "-Wl,--build-id=none"),
)
_WITH_LIBC = frozenset({"filtered", "into_cgroup", "runtime", "monitor", "threads", "under_log"})
_ALSO_32_BIT = frozenset({"errnos", "five", "rawsys", "threads", "waiter"})


def _native(*names: str) -> frozenset[Call]:
    return calls(Abi.X86_64, *names, "exit_group")


# What each program calls after the exec that starts it, which is not in here
# (an exec from 64-bit code is execve of x86_64, also when it starts an i386 program).
EXPECTED: dict[str, frozenset[Call]] = {
    "five": _native("getpid", "getuid", "getppid", "sched_yield"),
    "five32": calls(Abi.I386, "getpid", "getuid", "getppid", "sched_yield", "exit_group"),
    "brief": _native("gettid"),
    "int80": _native("getuid", "getpid") | calls(Abi.I386, "getpid", "getppid"),
    "x32call": _native("getuid") | calls(Abi.X32, "getpid"),
    "forker": _native(
        *("fork", "vfork", "clone3", "wait4", "execve"),
        *("getuid", "getgid", "geteuid", "getegid", "getppid", "getpgrp"),
    ),
    "untraced": _native("clone", "wait4", "getpgrp"),
    "memfd_exec": _native("memfd_create", "openat", "read", "write", "execveat", "getpgrp"),
    "signals": _native("rt_sigaction", "write", "clock_nanosleep"),  # without a signal or a stop
}

EXEC = calls(Abi.X86_64, "execve")


def word(call: Call) -> str:
    """The argument by which the 64-bit `rawsys` makes this call."""
    return {Abi.X86_64: "", Abi.I386: "i:", Abi.X32: "x:"}[call.abi] + str(call.number)


def rawsys_calls(made: Iterable[Call]) -> frozenset[Call]:
    """What the 64-bit `rawsys` calls when it is given these, without the exec that starts it."""
    return frozenset(made) | _native()


def _build(name: str, source: Path, target: Path, flags: Iterable[str]) -> None:
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=target.parent)
    os.close(descriptor)
    try:
        command = ["gcc", *flags, "-o", temporary, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}:\n{done.stderr}")
        Path(temporary).chmod(0o755)
        Path(temporary).replace(target)  # two test runs may build at once
    finally:
        Path(temporary).unlink(missing_ok=True)


def build() -> dict[str, Path]:
    """Every program by its name; builds what is not up to date.

    Raises RuntimeError with the compiler's words, or if this machine is not x86_64.
    """
    if platform.machine() != "x86_64":
        raise RuntimeError(f"the test programs are x86 programs, this machine is {platform.machine()}")
    if shutil.which("gcc") is None:
        raise RuntimeError("gcc is missing: run `make setup`")
    header = (_SOURCES / "raw.h").read_bytes()
    built = {}
    for source in sorted(_SOURCES.glob("*.c")):
        variants: list[tuple[str, tuple[str, ...]]] = [(source.stem, ())]
        if source.stem in _ALSO_32_BIT:
            variants.append((source.stem + "32", ("-m32",)))
        for name, more in variants:
            flags = (*_FLAGS, *more, *(() if source.stem in _WITH_LIBC else _BARE))
            key = hashlib.sha256(b"\0".join([header, source.read_bytes(), " ".join(flags).encode()]))
            target = _BUILD / key.hexdigest()[:16] / name
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                _build(name, source, target, flags)
            built[name] = target
    return built
