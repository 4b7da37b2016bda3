"""The recorder on the node, installed once for all tests of this folder."""

from pathlib import Path

import pytest

from tests.cluster.conftest import SERVERS
from tests.cluster.installed.installation import Installation
from tests.cluster.node.cluster import Cluster
from tests.deploy.build.recipe import Recipes
from tests.guest.cache import DamagedError

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at the whole run, and what takes the installation away, are last."""
    last = {"test_limits.py": 1, "test_removal.py": 2}
    items.sort(key=lambda item: last.get(item.path.name, 0) if item.path.parent == HERE else 0)


@pytest.fixture(scope="session")
def installation(request: pytest.FixtureRequest, node: Cluster) -> Installation:
    """Installed from the image of this checkout and deploy/; skips where they are not built."""
    recipes = Recipes()
    try:
        image, tools = recipes.find_image(), recipes.find_tools()
    except DamagedError as error:
        pytest.skip(f"{error} (make cluster)")
    if image is None or tools is None:
        pytest.skip("the image of this checkout is not built (make cluster)")
    node.runtime.import_image(image / "image.tar")
    made = Installation(node, tools / "kustomize")
    request.session.stash[SERVERS].append(made)
    made.install()
    made.connected()
    return made
