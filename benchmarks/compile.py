"""Compiles the benchmarks' C, each into a folder that the caller owns."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent


class BuildError(Exception):
    """A compiler is missing or failed; its words are in the text."""


def compile_program(source: str, folder: Path) -> Path:
    """SOURCE.c as a program. Raises BuildError."""
    return _compile(["gcc", "-O2", "-Wall", "-Wextra", "-Werror"], source, folder / Path(source).stem)


def compile_bpf(source: str, folder: Path) -> Path:
    """SOURCE.bpf.c as a BPF object. Raises BuildError."""
    # Debian keeps <asm/types.h> by architecture.
    include = f"/usr/include/{os.uname().machine}-linux-gnu"
    command = ["clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", f"-I{include}", "-Wall", "-Werror", "-c"]
    return _compile(command, source, folder / Path(source).with_suffix(".o").name)


def _compile(command: list[str], source: str, target: Path) -> Path:
    command = [*command, str(SOURCES / source), "-o", str(target)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise BuildError(f"{command[0]} is missing; install it with: make setup") from None
    except subprocess.CalledProcessError as error:
        raise BuildError(f"{' '.join(command)}:\n{error.stderr}") from error
    return target
