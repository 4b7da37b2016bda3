"""The programs of Kubernetes, built with Debian's Go.

Artefact of a component: the program, under its own name. What Go has compiled stays in a folder beside the
artefacts until all components are there: they share most of it.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.cluster.build.source import PACKAGE, unpack_source
from tests.guest.build.tool import run_tool
from tests.guest.cache import Artefact
from tests.guest.errors import BuildError

OPENAPI = Path("pkg/generated/openapi")
MARK = b"+k8s:openapi-gen="
NOT_API = ("code-generator", "sample-", "kube-openapi", "gengo")  # vendored generators and examples


class Workshop:
    """A GOPATH and Go's cache in `folder`; kept between builds, and removed by `close`."""

    def __init__(self, folder: Path, go: Path, version: str) -> None:
        self.folder = folder
        self.go = go
        self.version = version
        self.tree = folder / "gopath" / PACKAGE

    def _go(self, *words: str | Path) -> None:
        if not (self.go / "bin/go").exists():
            raise BuildError(
                f"{self.go}/bin/go is missing: scripts/setup.sh cluster installs it (Debian 12, root)"
            )
        run_tool(
            self.go / "bin/go",
            *words,
            cwd=self.tree,
            env={
                "GOROOT": str(self.go),
                "GOPATH": str(self.folder / "gopath"),
                "GOCACHE": str(self.folder / "gocache"),
                "GOTMPDIR": str(self._folder("tmp")),
                "GO111MODULE": "off",
                "GOFLAGS": "",
                "CGO_ENABLED": "0",
            },
        )

    def _folder(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def prepare(self, source: Artefact) -> None:
        """Unpack the source, and make what it lacks, unless that was done before from the same."""
        done = self._folder("") / "prepared"
        if done.exists() and done.read_text() == source.key:
            return
        done.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "gopath", ignore_errors=True)
        unpack_source(source.folder, self.folder / "gopath")
        self._generate_openapi()
        done.write_text(source.key)

    def _generate_openapi(self) -> None:
        """The one generated file that the source package lacks."""
        generator = self.folder / "openapi-gen"
        self._go("build", "-o", generator, "./vendor/k8s.io/kube-openapi/cmd/openapi-gen")
        packages = sorted({f"k8s.io/kubernetes/{path}" for path in self._marked()})
        run_tool(
            generator,
            "--logtostderr",
            *("-i", ",".join(packages)),
            *("-p", f"k8s.io/kubernetes/{OPENAPI}", "-O", "zz_generated.openapi"),
            *("-h", "vendor/k8s.io/code-generator/hack/boilerplate.go.txt"),
            *("-r", self.folder / "violations"),
            cwd=self.tree,
            env={
                "GOROOT": str(self.go),
                "PATH": f"{self.go}/bin:{os.environ.get('PATH', '')}",
                "GOPATH": str(self.folder / "gopath"),
                "GOCACHE": str(self.folder / "gocache"),
                "GO111MODULE": "off",
                "GOFLAGS": "",
            },
        )
        if not (self.tree / OPENAPI / "zz_generated.openapi.go").exists():
            raise BuildError(f"{generator} made no {OPENAPI}/zz_generated.openapi.go")

    def _marked(self) -> Iterator[Path]:
        """Folders with Go files that have `MARK`, from the tree."""
        vendored = self.tree / "vendor/k8s.io"
        tops = [path for path in vendored.iterdir() if path.is_dir() and not path.name.startswith(NOT_API)]
        for top in [*tops, *(self.tree / name for name in ("cmd", "pkg", "plugin"))]:
            for file in top.rglob("*.go"):
                if file.name.endswith("_test.go") or "zz_gen" in file.name or not file.is_file():
                    continue
                if MARK in file.read_bytes():
                    yield file.parent.relative_to(self.tree)

    def build(self, component: str, folder: Path) -> Mapping[str, Any]:
        """Write the program `component` into a folder."""
        major, minor, _ = self.version.split(".")
        stamps = {
            "gitVersion": f"v{self.version}",
            "gitMajor": major,
            "gitMinor": minor,
            "gitTreeState": "clean",
            "gitCommit": "debian",
        }
        vendor = "k8s.io/kubernetes/vendor/k8s.io"
        flags = [
            f"-X {vendor}/{package}.{name}={value}"
            for package in ("component-base/version", "client-go/pkg/version")
            for name, value in stamps.items()
        ]
        program = folder / component
        self._go(
            *("build", "-trimpath", "-ldflags", " ".join(["-s", "-w", *flags])),
            *("-o", program, f"./cmd/{component}"),
        )
        said = run_tool(program, "--version").decode().strip()
        return {"version": said}

    def close(self) -> None:
        """Remove all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)
