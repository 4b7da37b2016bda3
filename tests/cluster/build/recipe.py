"""What needs what: from versions.lock to the programs.

source ──> kube-apiserver, kube-controller-manager ... (one artefact each)
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.build import component, source
from tests.guest.cache import Artefact, Cache, digest_of

HERE = Path(__file__).parent
LOCK = HERE.parent / "versions.lock"


@dataclass(frozen=True, slots=True)
class Lock:
    """What versions.lock says."""

    suite: str
    source: str
    version: str
    go: str
    components: tuple[str, ...]

    @classmethod
    def read(cls, path: Path = LOCK) -> "Lock":
        """From the file."""
        text: Mapping[str, Any] = tomllib.loads(path.read_text())
        return cls(**{**text, "components": tuple(text["components"])})


class Recipes:
    """Makes what is missing. `deep`: read all contents of what is there."""

    def __init__(self, cache: Cache, *, deep: bool = False, lock: Lock | None = None) -> None:
        self.cache = cache
        self.deep = deep
        self.lock = lock or Lock.read()
        self.workshop = component.Workshop(cache.root / "workshop", Path(self.lock.go), self.lock.version)

    def _source_key(self) -> str:
        return digest_of(self.lock.suite, self.lock.source, HERE / "source.py")

    def _component_key(self) -> str:
        return digest_of(self._source_key(), self.lock.version, self.lock.go, HERE / "component.py")

    def source(self) -> Artefact:
        """The source package."""

        def fetch(folder: Path) -> Mapping[str, Any]:
            return source.fetch_source(self.cache.root / "apt", self.lock.suite, self.lock.source, folder)

        return self.cache.make("source", self._source_key(), fetch, deep=self.deep)

    def component(self, name: str) -> Artefact:
        """One program."""

        def build(folder: Path) -> Mapping[str, Any]:
            self.workshop.prepare(self.source())
            return self.workshop.build(name, folder)

        return self.cache.make(name, self._component_key(), build, deep=self.deep)

    def find(self, name: str) -> Artefact | None:
        """A program if it is built; DamagedError if it is not what was made. Nothing is made."""
        return self.cache.find(name, self._component_key(), deep=self.deep)

    def build(self) -> None:
        """All components of the lock; then what only the building needed goes."""
        with self.cache.building():
            wanted = {self.component(name).folder for name in self.lock.components}
            self.workshop.close()
            self.cache.prune(wanted | {self.cache.folder("source", self._source_key())})
