"""Programs of the system that builds: run to the end, or a BuildError that shows what they said."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.guest.errors import BuildError

SBIN = "/usr/sbin:/sbin"  # mke2fs and depmod are there, and not on everybody's PATH


def run_tool(
    *words: str | Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> bytes:
    """Standard output of a program; BuildError if it is missing or its status is not 0."""
    environment = {
        **os.environ,
        "PATH": f"{os.environ.get('PATH', '')}:{SBIN}",
        "LC_ALL": "C.UTF-8",
        **(env or {}),
    }
    try:
        done = subprocess.run(
            list(map(str, words)),
            cwd=cwd,
            env=environment,
            input=stdin or b"",
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BuildError(
            f"{words[0]} is missing: scripts/setup.sh guest installs it (Debian 12, root)"
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace")[-3000:].strip()
        raise BuildError(f"{' '.join(map(str, words))[:300]}: status {done.returncode}\n{said}")
    return done.stdout
