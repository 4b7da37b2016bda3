"""What needs what.

base ──> image        tools        checkov
     └─> twins        the image, built again from another checkout and without layers that were there
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recorder import __version__
from tests.deploy.build import checkov, image, tools
from tests.deploy.build.twins import build_twins
from tests.guest.cache import Artefact, Cache, digest_of

HERE = Path(__file__).parent
CACHE = "deploy"
NAME = f"{image.NAME}:{__version__}"
"""The image's, as the manifests have it."""


class Recipes:
    """Makes what is missing."""

    def __init__(self, cache: Cache | None = None) -> None:
        self.cache = cache or Cache.default(CACHE)
        self.storage = image.Storage(self.cache.root / "storage")

    def _tools_key(self) -> str:
        return digest_of(HERE / "tools.py")

    def _base_key(self) -> str:
        return digest_of(image.SUITE, image.BASE, image.FORGET)

    def _image_key(self) -> str:
        return image.image_key(self._base_key())

    def tools(self) -> Artefact:
        """kustomize, kubectl, promtool."""

        def fetch(folder: Path) -> Mapping[str, Any]:
            return tools.fetch_tools(self.cache.root / "apt", folder)

        return self.cache.make("tools", self._tools_key(), fetch)

    def _checkov_key(self) -> str:
        return digest_of(HERE / "checkov.py", checkov.LOCK)

    def checkov(self) -> Artefact:
        """checkov, in a folder of packages."""
        return self.cache.make("checkov", self._checkov_key(), checkov.fetch_checkov)

    def find_checkov(self) -> Artefact | None:
        """If it is there; nothing is made."""
        return self.cache.find("checkov", self._checkov_key())

    def base(self) -> Artefact:
        """base.tar."""
        return self.cache.make("base", self._base_key(), image.make_base)

    def image(self) -> Artefact:
        """image.tar, of what is in this checkout now."""
        key = self._base_key()

        def build(folder: Path) -> Mapping[str, Any]:
            return image.build_image(self.storage, self.base() / "base.tar", key, NAME, folder)

        return self.cache.make("image", self._image_key(), build)

    def _twins_key(self) -> str:
        """Of all that says how it is built: what is compiled or copied may change from commit to commit."""
        parts = [
            part for path in image.settled_inputs() for part in (str(path.relative_to(image.ROOT)), path)
        ]
        return digest_of(self._base_key(), HERE / "twins.py", *image.executables(), *parts)

    def twins(self) -> Artefact:
        """`first.json` and `second.json`: what their archives say of layers."""

        def build(folder: Path) -> Mapping[str, Any]:
            image_archive = self.image() / "image.tar"
            self.storage.import_base(self.base() / "base.tar", self._base_key())
            return build_twins(self.storage, image_archive, folder)

        return self.cache.make("twins", self._twins_key(), build)

    def find_twins(self) -> Artefact | None:
        """If they are there; nothing is made."""
        return self.cache.find("twins", self._twins_key())

    def find_tools(self) -> Artefact | None:
        """If they are there; nothing is made."""
        return self.cache.find("tools", self._tools_key())

    def find_image(self) -> Artefact | None:
        """The same."""
        return self.cache.find("image", self._image_key())

    def build(self) -> None:
        """All of them."""
        with self.cache.building():
            self.storage.trim()
            wanted = {
                each.folder
                for each in (self.tools(), self.checkov(), self.base(), self.image(), self.twins())
            }
            self.cache.prune(wanted)
