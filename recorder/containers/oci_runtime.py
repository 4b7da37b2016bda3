"""Which program runs a container (runc, crun, ...), of which version, and whether this kernel runs it.

A version is asked of the program itself (`PROGRAM --version`), once, as the runtime's own processes see
it: below /proc/PID/root of the daemon. It is run only if root owns it and nobody else may write it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
import struct
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

UNRECORDABLE = ("*kata*", "*runsc*", "*gvisor*", "*firecracker*", "*krun*", "*quark*", "*edera*", "*nabla*")
"""Patterns of the names of handlers, runtime types and programs that do not run in this kernel."""

_SHIM = re.compile(r"io\.containerd\.([A-Za-z0-9_-]+)\.v\d+")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ANSWER = 4096  # bytes of a version's answer that are looked at
_DEADLINE = 5.0  # seconds
_KEPT = 64  # programs whose version is remembered


def runtime_name(runtime_type: str, binary: str) -> str:
    """The OCI runtime's name by containerd's runtime type and by the program, if one is configured."""
    if binary:
        return os.path.basename(binary)
    found = _SHIM.fullmatch(runtime_type)
    return found[1] if found else ""


def handler_name(patterns: Iterable[str], *names: str) -> str:
    """The first of the names (handler, type, program) that says it is not run by this kernel; else empty."""
    wanted = [pattern.lower() for pattern in patterns]
    for name in names:
        if name and any(fnmatchcase(os.path.basename(name).lower(), pattern) for pattern in wanted):
            return name
    return ""


def listener_pid(endpoint: Path, timeout: float = _DEADLINE) -> int:
    """Who listens at a Unix socket, by SO_PEERCRED (unix(7)); 0: nobody, or of another pid namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(endpoint))
            size = struct.calcsize("3i")
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        except OSError:
            return 0
    return int(struct.unpack("3i", credentials)[0])


class RuntimeVersions:
    """Versions of OCI runtimes, remembered as long as their programs are the same files."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._known: dict[tuple[str, int, int, int], str] = {}

    async def version(self, pid: int, binary: str) -> str:
        """The version of the program that a process calls `binary`; empty: it cannot be told."""
        if pid <= 0 or not binary:
            return ""
        found = await asyncio.to_thread(self._program, pid, binary)
        if found is None:
            return ""
        program, key = found
        if key not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[key] = await _asked(program)
        return self._known[key]

    def _program(self, pid: int, binary: str) -> tuple[Path, tuple[str, int, int, int]] | None:
        root = self._proc / str(pid) / "root"
        for path in [binary] if "/" in binary else self._candidates(pid, binary):
            program = root / path.lstrip("/")
            try:
                status = os.stat(program)
            except OSError:
                continue
            shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if stat.S_ISREG(status.st_mode) and status.st_uid == 0 and not shared:
                return program, (path, status.st_dev, status.st_ino, status.st_mtime_ns)
        return None

    def _candidates(self, pid: int, name: str) -> list[str]:
        path = _PATH
        try:
            environment = (self._proc / str(pid) / "environ").read_bytes().split(b"\0")
        except OSError:
            environment = []
        for entry in environment:
            if entry.startswith(b"PATH=/"):
                path = os.fsdecode(entry.removeprefix(b"PATH="))
        return [f"{folder}/{name}" for folder in path.split(":") if folder.startswith("/")]


async def _asked(program: Path) -> str:
    command: Sequence[str] = (str(program), "--version")
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={"PATH": _PATH},
        )
    except OSError:
        return ""
    try:
        async with asyncio.timeout(_DEADLINE):
            answer = await process.stdout.read(_ANSWER) if process.stdout else b""
            await process.wait()
    except TimeoutError:
        return ""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return version_in(answer.decode("utf-8", "replace"))


def version_in(answer: str) -> str:
    """The version in an answer such as `runc version 1.1.5+ds1` or `crun version 1.8.1`; else empty."""
    found = re.match(r"\S+ version v?(\d[\w.+~-]*)", answer)
    return found[1] if found else ""
