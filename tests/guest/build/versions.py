"""Which kernels there are: versions.lock's wishes against the suites' indices.

Artefact: no file; its facts are, for each kernel, `release` and `packages`, or `missing`: why there is none.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.guest.build.apt import Apt, Package, Sites
from tests.guest.errors import BuildError

LOCK = Path(__file__).parent.parent / "versions.lock"


def read_lock() -> Mapping[str, Any]:
    """What versions.lock says."""
    return tomllib.loads(LOCK.read_text())


def open_apt(folder: Path) -> Apt:
    """An apt state for all suites of versions.lock."""
    lock = read_lock()
    return Apt(folder, Sites.of_this_machine().lines(lock["suites"], lock["security"]))


def _order(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def find_versions(apt: Apt) -> Mapping[str, Any]:
    """For each kernel of versions.lock its newest release and packages, or `missing`: why there is none."""
    trouble = apt.update()
    names = [name.removeprefix("linux-image-") for name in apt.names("linux-image-")]
    found: dict[str, Any] = {}
    for kernel, wish in read_lock()["kernels"].items():
        releases = [name for name in names if re.fullmatch(wish["release"], name)]
        # a name that only a dependency mentions has no package
        there = apt.newest(f"linux-image-{release}" for release in releases)
        if there:
            release = max((name.removeprefix("linux-image-") for name in there), key=_order)
            packages = _packages(apt, release, headers=wish["headers"])
            found[kernel] = {"release": release, "packages": [asdict(package) for package in packages]}
        else:
            found[kernel] = {
                "missing": f"no package linux-image-{wish['release']} in any suite. {trouble}".strip()
            }
            if wish["required"]:
                raise BuildError(f"kernel {kernel} is required: {found[kernel]['missing']}")
    return found


def _packages(apt: Apt, release: str, *, headers: bool) -> list[Package]:
    # from 7.0 on the image is an empty package, and its parts are packages of their own
    names = [f"linux-image-{release}", f"linux-binary-{release}", f"linux-modules-{release}"]
    if headers:
        names += [f"linux-headers-{release}", f"linux-headers-{release.removesuffix('-cloud-amd64')}-common"]
    return list(apt.newest(names).values())
