"""The source of Kubernetes: Debian's own source package, whose signature and checksums apt checks.

Artefact: `kubernetes.tar`, `reflect2.deb`. Unpacked it is a GOPATH with all that the programs are built from.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.guest.build.apt import KEYRING, Apt, Sites
from tests.guest.build.tool import run_tool
from tests.guest.errors import BuildError

# The vendored reflect2 1.0.1 crashes with Go 1.18 and newer at the first custom resource
# (github.com/modern-go/reflect2, issue 22); Debian's package is newer.
REFLECT2 = "golang-github-modern-go-reflect2-dev"
PACKAGE = Path("src/k8s.io/kubernetes")  # where a GOPATH has it


def fetch_source(apt_folder: Path, suite: str, source: str, folder: Path) -> Mapping[str, Any]:
    """Download into `folder`; facts: the names of the files that apt verified."""
    options = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
    site = Sites.of_this_machine().main
    apt = Apt(apt_folder, f"deb-src {options}{site} {suite} main\ndeb {options}{site} {suite} main\n")
    trouble = apt.update()
    fetched = folder / "fetched"
    fetched.mkdir()
    try:
        run_tool("apt-get", "-q", "--download-only", "source", source, cwd=fetched, env=apt.env)
        run_tool("apt-get", "-q", "download", REFLECT2, cwd=fetched, env=apt.env)
    except BuildError as error:
        raise BuildError(f"{error}\n{trouble}".strip()) from error
    names = sorted(path.name for path in fetched.iterdir())
    _only(fetched, f"{source}_*.orig.tar.*").rename(folder / "kubernetes.tar")
    _only(fetched, f"{REFLECT2}_*.deb").rename(folder / "reflect2.deb")
    shutil.rmtree(fetched)
    return {"files": names}


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise BuildError(f"apt fetched {len(found)} files {pattern}, not one: {', '.join(map(str, found))}")
    return found[0]


def unpack_source(artefact: Path, gopath: Path) -> Path:
    """The tree of Kubernetes in a new GOPATH."""
    tree = gopath / PACKAGE
    tree.mkdir(parents=True)
    run_tool("tar", "xf", artefact / "kubernetes.tar", "-C", tree, "--strip-components=1")
    package = gopath / "reflect2"
    run_tool("dpkg-deb", "-x", artefact / "reflect2.deb", package)
    vendored = tree / "vendor/github.com/modern-go/reflect2"
    newer = package / "usr/share/gocode/src/github.com/modern-go/reflect2"
    for old in [*vendored.glob("*.go"), *vendored.glob("*.s")]:
        old.unlink()
    for new in [*newer.glob("*.go"), *newer.glob("*.s")]:
        if not new.name.endswith("_test.go"):
            shutil.copy(new, vendored)
    return tree
