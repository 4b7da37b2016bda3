"""Who may read what, as a real API server says: tokens of people and service accounts, RBAC."""

from collections.abc import Callable, Iterator

import pytest

from recorder.model.errors import PlatformUnreachable
from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP
from tests.cluster.kube import Kube, kube

Namespace = Callable[..., str]
READ = [{"apiGroups": [GROUP], "resources": ["profilerecordings"], "verbs": ["get"]}]


@pytest.fixture
def platform(api_server: ApiServer) -> Iterator[Kube]:
    with kube(api_server.kubeconfig) as made:
        yield made


def test_a_token_is_its_bearers(api_server, platform, namespace):
    """A service account's token is its account's, with its groups; others are nobody's."""
    place = namespace()
    account = api_server.service_account(place)
    person = platform.do(platform.authority.person(account.token()))
    assert person is not None
    assert person.name == account.username
    assert f"system:serviceaccounts:{place}" in person.groups
    for token in ("", "no such token", "x" * (1 << 20), "schlüssel", account.token()[:-3]):
        assert platform.do(platform.authority.person(token)) is None


def test_a_token_for_another_audience_is_nobodys(api_server, platform, namespace):
    """What was made for another service does not open this one."""
    account = api_server.service_account(namespace())
    assert platform.do(platform.authority.person(account.token("elsewhere"))) is None


def test_rights_are_by_namespace(api_server, platform, namespace):
    """Who may get recordings in one namespace may not read another's, nor all."""
    first, second = namespace(), namespace()
    account = api_server.service_account(first)
    api_server.grant(account, READ, first)
    person = platform.do(platform.authority.person(account.token()))
    may = [platform.do(platform.authority.may_read(person, each)) for each in (first, second, "")]
    assert may == [True, False, False]
    everything = api_server.service_account(first)
    api_server.grant(everything, READ)
    person = platform.do(platform.authority.person(everything.token()))
    assert [platform.do(platform.authority.may_read(person, each)) for each in (first, second, "")] == [
        True
    ] * 3


def test_rights_to_the_metrics(api_server, platform, namespace):
    """The non-resource path /metrics, by RBAC."""
    account = api_server.service_account(namespace())
    person = platform.do(platform.authority.person(account.token()))
    assert not platform.do(platform.authority.may_scrape(person))
    api_server.grant(account, [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}])
    assert platform.do(platform.authority.may_scrape(person))


def test_without_the_api_server_nobody_is_allowed(api_server, platform, namespace):
    """An outage is an error, never a yes."""
    account = api_server.service_account(namespace())
    person = platform.do(platform.authority.person(account.token()))
    with api_server.outage():
        with pytest.raises(PlatformUnreachable):
            platform.do(platform.authority.person("token"))
        with pytest.raises(PlatformUnreachable):
            platform.do(platform.authority.may_read(person, "x"))
