"""Fixtures for definitions: a server with ours and one with SPO's; profiles go with their test."""

from collections.abc import Iterator

import pytest

from tests.cluster.api_server import ApiServer
from tests.cluster.objects import PROFILES

PROFILE_KINDS = ("AppArmorProfile", "SeccompProfile", "SelinuxProfile")


@pytest.fixture(params=["ours", "SPO's"])
def server(request: pytest.FixtureRequest) -> ApiServer:
    """Each server in turn: with our definitions, and with SPO's."""
    name = "api_server" if request.param == "ours" else "spo_api_server"
    found: ApiServer = request.getfixturevalue(name)
    return found


@pytest.fixture(autouse=True)
def no_profiles_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Profiles are cluster-scoped: what a test made with objects.profile goes with it."""
    yield
    for name in {"api_server", "spo_api_server"} & set(request.fixturenames):
        client = request.getfixturevalue(name).client
        for kind in PROFILE_KINDS:
            for found in client.objects(kind):
                if found["metadata"]["name"].startswith(PROFILES):
                    client.delete(kind, found["metadata"]["name"])
