"""What needs what: from versions.lock to the disks of one guest.

versions ──> kernel-RELEASE ─┐
root ────────────────────────┤
python ──────────────────────┼──> snapshot-SPEC (snapshot.py)
agent ───────────────────────┘
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.guest.build import agent, kernels, python_disk, root, versions
from tests.guest.cache import Artefact, Cache, DamagedError, digest_of, say
from tests.guest.errors import BuildError
from tests.guest.spec import Spec

HERE = Path(__file__).parent
Recipe = Callable[[Path], Mapping[str, Any]]


def _sources(*names: str) -> list[Path]:
    return [HERE / name for name in (*names, "tool.py")]


@dataclass(frozen=True, slots=True)
class Parts:
    """What a guest is started from."""

    kernel: Artefact
    root: Artefact
    python: Artefact
    agent: Artefact

    def key(self) -> str:
        """Changes with each of them."""
        return digest_of(self.kernel.key, self.root.key, self.python.key, self.agent.key)

    def initramfs(self) -> bytes:
        """The kernel's modules and the agent."""
        return (self.kernel / "modules.cpio").read_bytes() + (self.agent / "agent.cpio").read_bytes()

    def disks(self) -> list[Path]:
        """In the order in which the agent expects them: root (vda), kernel (vdb), Python packages (vdc)."""
        return [self.root / "root.ext4", self.kernel / "kernel.ext4", self.python / "python.ext4"]


class MissingKernelError(BuildError):
    """A kernel that is not to be had (any more), and is not required."""


class Recipes:
    """Makes what is missing. `deep`: read all contents of what is there. Each artefact is looked at once."""

    def __init__(self, cache: Cache, *, deep: bool = False) -> None:
        self.cache = cache
        self.deep = deep
        self._seen: dict[str, Artefact] = {}

    def make(self, name: str, key: str, recipe: Recipe) -> Artefact:
        """An artefact, looked at once."""
        if name not in self._seen:
            self._seen[name] = self.cache.make(name, key, recipe, deep=self.deep)
        return self._seen[name]

    @property
    def folders(self) -> set[Path]:
        """Of all artefacts that were asked for."""
        return {artefact.folder for artefact in self._seen.values()}

    @staticmethod
    def versions_key() -> str:
        """The key of the artefact `versions`."""
        return digest_of(versions.LOCK, *_sources("versions.py", "apt.py"))

    def refresh(self) -> None:
        """Look for newer kernels the next time."""
        place = self.cache.folder("versions", self.versions_key())
        with self.cache.building(), self.cache.changing():
            if place.exists():
                self.cache.remove(place)
        self._seen.pop("versions", None)

    def versions(self) -> Mapping[str, Any]:
        """For each kernel of versions.lock its release and packages, or `missing`."""

        def find(_: Path) -> Mapping[str, Any]:
            return versions.find_versions(versions.open_apt(self.cache.root / "apt"))

        return self.make("versions", self.versions_key(), find).facts

    def known_versions(self) -> Mapping[str, Any]:
        """The same, of what is in the cache: nothing is fetched or made."""
        try:
            found = self.cache.find("versions", self.versions_key())
        except DamagedError:
            found = None
        return found.facts if found else {}

    def release(self, kernel: str) -> Mapping[str, Any]:
        """The version of a kernel; MissingKernelError if it is not to be had."""
        known = self.versions()
        if kernel not in known:
            raise BuildError(f"no kernel {kernel!r} in versions.lock: it has {', '.join(sorted(known))}")
        if "missing" in known[kernel]:
            raise MissingKernelError(f"kernel {kernel}: {known[kernel]['missing']}")
        version: Mapping[str, Any] = known[kernel]
        return version

    def kernel(self, name: str) -> Artefact:
        """A kernel of versions.lock; looked up anew if its packages have gone from the archive meanwhile."""
        try:
            return self._kernel(name)
        except MissingKernelError:
            raise
        except BuildError as error:
            say(f"kernel {name}: {error}; looking for another version")
            self.refresh()
            try:
                return self._kernel(name)
            except BuildError as again:
                if versions.read_lock()["kernels"][name]["required"]:
                    raise
                raise MissingKernelError(f"kernel {name}: {again}") from again

    def _kernel(self, name: str) -> Artefact:
        version = self.release(name)

        def build(folder: Path) -> Mapping[str, Any]:
            return kernels.build_kernel(versions.open_apt(self.cache.root / "apt"), version, folder)

        packages = sorted(f"{package['name']} {package['sha256']}" for package in version["packages"])
        key = digest_of(*packages, *_sources("kernels.py", "bzimage.py", "cpio.py", "ext4.py"))
        return self.make(f"kernel-{version['release']}", key, build)

    def root(self) -> Artefact:
        """The root disk."""
        key = digest_of(str(versions.read_lock()["root"]), root.PACKAGES, *_sources("root.py", "ext4.py"))
        return self.make("root", key, root.build_root)

    def python(self) -> Artefact:
        """The disk of Python packages."""
        key = digest_of(*python_disk.requirements(), *_sources("python_disk.py", "ext4.py"))
        return self.make("python", key, python_disk.build_python_disk)

    def agent(self) -> Artefact:
        """The initramfs of the agent."""
        return self.make(
            "agent", digest_of(*agent.SOURCES, *_sources("agent.py", "cpio.py")), agent.build_agent
        )

    def parts(self, spec: Spec) -> Parts:
        """All that a guest is started from."""
        return Parts(self.kernel(spec.kernel), self.root(), self.python(), self.agent())


def wanted_specs() -> list[Spec]:
    """The guests that versions.lock asks for."""
    wishes = versions.read_lock()["kernels"].items()
    return [Spec.parse(text, kernel) for kernel, wish in wishes for text in wish["guests"]]
