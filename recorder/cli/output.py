"""The formats of a result, and where it goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from recorder.model.errors import OutputError
from recorder.model.record import Record
from recorder.profiles.base import Base

STDOUT = "-"


def _seccomp(record: Record, name: str, base: Base) -> str:
    from recorder.profiles.seccomp import build
    from recorder.profiles.seccomp_yaml import to_yaml

    return to_yaml(build(record, name=name, base=base))


def _oci(record: Record, name: str, base: Base) -> str:
    from recorder.profiles.seccomp import build
    from recorder.profiles.seccomp_oci import to_oci

    return to_oci(build(record, name=name, base=base))


def _record(record: Record, _name: str, _base: Base) -> str:
    from recorder.model.wire import to_json

    return to_json(record)


def _names(record: Record, _name: str, _base: Base) -> str:
    from recorder.profiles.names import to_names

    return to_names(record)


# Imported when used: a format's libraries cost memory, and the command is short-lived.
FORMATS: Mapping[str, Callable[[Record, str, Base], str]] = {
    "seccomp": _seccomp,
    "oci": _oci,
    "record": _record,
    "names": _names,
}

BASED = frozenset({"seccomp", "oci"})
"""The formats that hold a base and the kernel's own set."""


def check_output(path: str) -> None:
    """Before anything is recorded: can the result be written there? Raises OutputError."""
    if path == STDOUT:
        return
    target = Path(path)
    folder = target.parent
    if not folder.is_dir():
        raise OutputError(f"cannot write {path}: there is no folder {folder}; make it first")
    if target.is_dir():
        raise OutputError(f"cannot write {path}: it is a folder; name a file in it")
    if _replaceable(target):
        if not os.access(folder, os.W_OK):
            raise OutputError(f"cannot write {path}: folder {folder} is not writable")
    elif not os.access(target, os.W_OK):
        raise OutputError(f"cannot write {path}: it is not writable")


def _replaceable(target: Path) -> bool:
    """Devices, pipes and links are written through, never replaced."""
    return (not target.exists() and not target.is_symlink()) or (target.is_file() and not target.is_symlink())


def write_output(path: str, text: str) -> None:
    """Whole or not at all: a file is replaced when the new one is on disk. Raises OutputError."""
    try:
        if path == STDOUT:
            sys.stdout.write(text)
            sys.stdout.flush()
        elif _replaceable(Path(path)):
            _replace(Path(path), text)
        else:
            Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _replace(target: Path, text: str) -> None:
    import tempfile

    mode = target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask()
    fd, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The kernel lets it be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
