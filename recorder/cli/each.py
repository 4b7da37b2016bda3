"""`--each DIR`: a result for each container of a record, its restarts joined, in a file named after it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recorder.cli.result import emit
from recorder.model.errors import OutputError, RecorderError
from recorder.model.record import Record
from recorder.profiles.base import Base, resolve_base
from recorder.profiles.label import dns_label

if TYPE_CHECKING:
    from recorder.model.record import Identity, Observation

SUFFIXES: Mapping[str, str] = {
    "seccomp": ".yaml",
    "oci": ".json",
    "record": ".json",
    "names": ".txt",
    "apparmor": ".yaml",
    "apparmor-text": ".apparmor",
    "selinux": ".yaml",
    "cil": ".cil",
}


def check_each(folder: str) -> None:
    """Before anything is recorded: can files be written there? Raises OutputError."""
    if not Path(folder).is_dir():
        raise OutputError(f"cannot write into {folder}: there is no such folder; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder}: it is not writable")


def base_of(record: Record, choice: str) -> Base:
    """The base for a record: of its runtime, if all of it comes from one. Raises UsageError."""
    runtimes = {(each.provenance.runtime, each.provenance.runtime_version) for each in record.observations}
    return resolve_base(choice, *(runtimes.pop() if len(runtimes) == 1 else ("", "")))


def emit_each(record: Record, options: argparse.Namespace) -> None:
    """Writes all that can be written; then raises the first RecorderError."""
    failure: RecorderError | None = None
    for name, part in by_container(record).items():
        path = Path(options.each) / f"{name}{SUFFIXES[options.format]}"
        try:
            where = argparse.Namespace(**{**vars(options), "output": str(path)})
            emit(part, where, name, base_of(part, options.base))
        except RecorderError as error:
            failure = failure or error
    if failure:
        raise failure


def by_container(record: Record) -> dict[str, Record]:
    """The record's parts by the names of their files, which are DNS labels.

    A name is that of the container or of its pod's, made a label: nothing of it is a path.
    Where two containers would have one name, each gets a number.
    """
    parts: dict[tuple[str, ...], list[Observation]] = {}
    for each in record.observations:
        parts.setdefault(_who(each.identity), []).append(each)
    named: dict[str, Record] = {}
    for who, observations in sorted(parts.items()):
        label = name = dns_label("-".join(part.replace("/", "-") for part in who if part))
        number = 2
        while name in named:
            name = f"{label}-{number}"
            number += 1
        named[name] = Record(tuple(observations))
    return named


def _who(identity: Identity) -> tuple[str, ...]:
    """Equal for the restarts of one container, and for nothing else."""
    pod = identity.pod
    if pod and identity.name:
        return (pod.namespace, pod.name, identity.name)
    return (identity.name or identity.container_id or identity.cgroup_path,)
