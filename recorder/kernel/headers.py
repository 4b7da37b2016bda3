"""Kernel headers for bcc: where they are, and whether they are the running kernel's.

Looked for in this order: BCC_KERNEL_SOURCE, which bcc's own tools read too; the links of
/lib/modules/RELEASE; the kernel's own archive (CONFIG_IKHEADERS); the newest that is
installed for another kernel, for what reads no kernel structure.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from recorder.kernel.loaded import kernel_version
from recorder.model.errors import MissingHeaders

MODULES = Path("/lib/modules")
ARCHIVE = Path("/sys/kernel/kheaders.tar.xz")
VARIABLE = "BCC_KERNEL_SOURCE"

_ARCH = {"x86_64": "x86", "aarch64": "arm64"}
# Where struct mount is as bpf/syscalls.bcc.c mirrors it: mnt_list grew in 6.8 (2eea9ce4310d).
_CONTAINERS = ((5, 8), (6, 7))


@dataclass(frozen=True, slots=True)
class Headers:
    """Headers that bcc can compile with.

    build: has what the configuration generated; source: the rest, the same folder or another
    (Debian splits them); release: of the kernel they are of, '' if they do not say; archive:
    to be unpacked first, build and source are then below the place.
    """

    build: Path
    source: Path
    release: str
    matching: bool
    archive: Path | None = None

    @property
    def containers(self) -> bool:
        """Whether set-up and workload of containers can be told apart: see bpf/syscalls.bcc.c."""
        return self.matching and _CONTAINERS[0] <= kernel_version(self.release) <= _CONTAINERS[1]

    def __str__(self) -> str:
        where = self.archive or self.build
        if self.matching:
            return f"{where} (the running kernel's)"
        return f"{where} (of {self.release or 'an unknown kernel'}: no kernel structure is read)"


def arch(machine: str) -> str:
    """The kernel's name of an architecture (its folder in arch/), from `uname -m`'s."""
    return _ARCH.get(machine, machine)


def flags(headers: Headers, machine: str) -> list[str]:
    """What bcc needs beside BCC_KERNEL_SOURCE=source: the generated part, where it is apart."""
    if headers.build == headers.source:
        return []
    of_arch = headers.build / "arch" / arch(machine) / "include"
    folders = (of_arch / "generated", of_arch / "generated/uapi", headers.build / "include")
    return [f"-I{folder}" for folder in (*folders, headers.build / "include/generated/uapi")]


class _Search:
    """One search; `tried` says what was wrong with each place."""

    def __init__(self, machine: str) -> None:
        self._machine = machine
        self.tried: list[str] = []

    def look(self, build: Path, release: str) -> Headers | None:
        """What a folder holds; None, and a line in `tried`, if bcc could not compile with it."""
        if not build.is_dir():
            broken = f", a link to {os.readlink(build)}, which is missing" if build.is_symlink() else ""
            self.tried.append(f"{build}: no such folder{broken}")
            return None
        config = build / "include/generated/autoconf.h"
        if not config.exists():
            self.tried.append(f"{build}: no include/generated/autoconf.h: not configured kernel headers")
            return None
        for source in self._sources(build):
            # bcc includes both; the second is missing where the links point to another architecture.
            needed = ("include/linux/kconfig.h", f"arch/{arch(self._machine)}/include/asm/ptrace.h")
            if all((source / each).exists() for each in needed):
                found = _release(build)
                return Headers(build, source, found, found == release)
        self.tried.append(
            f"{build}: no include/linux/kconfig.h for {self._machine}, there or in the folder that `source` "
            "beside it or its Makefile names (on Debian: package linux-headers-*-common)"
        )
        return None

    @staticmethod
    def _sources(build: Path) -> Iterator[Path]:
        yield build
        if build.name == "build":
            yield build.with_name("source")
        makefile = build / "Makefile"
        if makefile.is_file():
            match = re.search(
                r"^include (/\S+)/Makefile$", makefile.read_text(errors="replace"), re.MULTILINE
            )
            if match:
                yield Path(match[1])


def _release(build: Path) -> str:
    generated = build / "include/generated/utsrelease.h"
    try:
        match = re.search(r'UTS_RELEASE "([^"]*)"', generated.read_text())
    except OSError:
        return ""
    return match[1] if match else ""


def find_headers(
    release: str,
    machine: str,
    environment: Mapping[str, str],
    modules: Path = MODULES,
    archive: Path = ARCHIVE,
) -> Headers:
    """The best headers for a kernel (`uname -r`, `uname -m`).

    Raises MissingHeaders, which says what to install and what was looked for.
    """
    search = _Search(machine)
    if environment.get(VARIABLE):
        found = search.look(Path(environment[VARIABLE]), release)
        if found:
            return found
        raise MissingHeaders(f"{VARIABLE} names no kernel headers: {search.tried[0]}")
    found = search.look(modules / release / "build", release)
    if found and found.matching:
        return found
    if archive.exists():
        return Headers(Path(), Path(), release, True, archive)
    search.tried.append(
        f"{archive}: not there (kernel without CONFIG_IKHEADERS, or its module is not loaded)"
    )
    others = [each for each in _others(search, modules, release) if each.release]
    if found:
        others.append(found)
    if others:
        return max(others, key=lambda each: [int(number) for number in re.findall(r"\d+", each.release)])
    raise MissingHeaders(
        f"the bcc loader found no kernel headers; {install(release)}. Looked for: " + "; ".join(search.tried)
    )


def _others(search: _Search, modules: Path, release: str) -> Iterator[Headers]:
    for folder in sorted(modules.glob("*/build")):
        if folder.parent.name != release:
            found = search.look(folder, release)
            if found:
                yield found


def install(release: str) -> str:
    """What a person can do."""
    return (
        f"install linux-headers-{release} (Debian: apt-get install linux-headers-$(uname -r); Fedora: "
        f"kernel-devel-$(uname -r)), or set {VARIABLE} to them"
    )
