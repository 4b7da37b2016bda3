"""One watch for all tests: loading and ending its programs takes most of what a test would."""

from collections.abc import Iterator

import pytest

from tests.guest.inside.accesses.watched import Watched, watched


@pytest.fixture(scope="session")
def recorder() -> Iterator[Watched]:
    """Each test records cgroups of its own."""
    with watched() as made:
        yield made
