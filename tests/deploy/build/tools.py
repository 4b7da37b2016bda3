"""kustomize, kubectl and promtool: programs out of Debian's own packages, of a suite that has newer ones.

Debian 12's kubectl has a kustomize of 2019, which knows no `resources` that are folders.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.apt import Apt, Sites
from tests.guest.build.tool import run_tool
from tests.guest.errors import BuildError

SUITE = "trixie"  # they need no more than glibc 2.34
TOOLS = ("kubectl", "kustomize", "promtool")
"""Packages, and the programs in them."""


def fetch_tools(apt_folder: Path, folder: Path) -> Mapping[str, Any]:
    """Write the programs into `folder`; facts: their packages' versions."""
    apt = Apt(apt_folder, Sites.of_this_machine().lines([SUITE], []))
    trouble = apt.update()
    newest = apt.newest(TOOLS)
    if set(newest) != set(TOOLS):
        raise BuildError(
            f"{SUITE} has only {', '.join(newest) or 'nothing'} of {', '.join(TOOLS)}\n{trouble}"
        )
    for package in apt.download(newest.values(), folder):
        run_tool("dpkg-deb", "-x", package, folder / "unpacked")
        package.unlink()
    for name in TOOLS:
        (folder / "unpacked/usr/bin" / name).rename(folder / name)
    run_tool("rm", "-rf", folder / "unpacked")
    return {"files": [f"{name} {newest[name].version}" for name in TOOLS]}
