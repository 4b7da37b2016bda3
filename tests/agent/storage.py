"""What tests of the spool and of the state share: a writer that is killed, and folders that fail."""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

NOBODY = 65534


def killed_writer(
    write: Callable[[Callable[[str], None]], None], lines: int, rng: random.Random
) -> list[str]:
    """What a process said that runs `write(say)`, killed by SIGKILL some while after so many lines.

    The process is a fork: whatever it has in memory is gone with it, as with any other.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            write(lambda line: os.write(writing, f"{line}\n".encode()) and None)
        finally:
            os._exit(1)
    os.close(writing)
    said = b""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while said.count(b"\n") < lines and (part := pipe.read(65536)):
            said += part
        # A random moment of the next writes: not waiting for anything, but choosing when.
        time.sleep(rng.uniform(0, 0.003))
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), f"the writer ended by itself: {status}, {said[-200:]!r}"
        while part := pipe.read(65536):
            said += part
    return said.decode().splitlines()


@contextlib.contextmanager
def small_filesystem(path: Path, size: str = "96k") -> Iterator[Path]:
    """A tmpfs of that size at `path`; gone afterwards. Root."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def remount(path: Path, option: str) -> None:
    """`ro` or `rw`."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """With the effective user of nobody, so that the kernel checks permissions. Root."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
