"""Fixtures of the tests of what is deployed, which run when their path is named (`make test-cluster`)."""

import os
from pathlib import Path

import pytest

from tests.asked import is_asked
from tests.deploy.build.recipe import Recipes
from tests.deploy.rendered import FOLDERS, Everything, render
from tests.guest.cache import Artefact, DamagedError

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Collect this folder only for who names it, or something in it."""
    return None if is_asked(HERE, collection_path, config) else True


@pytest.fixture(scope="session")
def recipes() -> Recipes:
    """What makes the image and finds the tools."""
    if os.geteuid() != 0:
        pytest.skip("needs root, for the files of other users in an image (sudo make test-cluster)")
    return Recipes()


def _found(artefact: Artefact | None, what: str) -> Artefact:
    if artefact is None:
        pytest.skip(f"{what} is not built (make cluster)")
    return artefact


@pytest.fixture(scope="session")
def tools(recipes: Recipes) -> Artefact:
    """kustomize, kubectl and promtool; skips where they are not there."""
    try:
        return _found(recipes.find_tools(), "the tools of tests/deploy")
    except DamagedError as error:
        pytest.skip(f"damaged: {error} (make cluster)")


@pytest.fixture(scope="session")
def checkov(recipes: Recipes) -> Artefact:
    """checkov; skips where it is not there."""
    try:
        return _found(recipes.find_checkov(), "checkov")
    except DamagedError as error:
        pytest.skip(f"damaged: {error} (make cluster)")


@pytest.fixture(scope="session")
def twins(recipes: Recipes) -> Artefact:
    """What two builds say of their layers; skips where that was not done for what is here now."""
    try:
        return _found(recipes.find_twins(), "the image's twin")
    except DamagedError as error:
        pytest.skip(f"damaged: {error} (make cluster)")


@pytest.fixture(scope="session")
def image(recipes: Recipes) -> Artefact:
    """The image of this checkout, as `image.tar`, and loaded: built now if something in it has changed.

    The storage may have another checkout's under the same name, or none any more.
    """
    found = recipes.image()
    with recipes.cache.building():
        recipes.storage.load(found / "image.tar")
    return found


@pytest.fixture(scope="session")
def everything(tools: Artefact) -> Everything:
    """All that can be applied, by folder."""
    return {folder: render(tools, folder) for folder in FOLDERS}
