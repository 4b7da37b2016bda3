import pytest

from tests.unit.rpc.certificates import Authority, Signed

CLIENT = "spiffe://example.org/ci"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The CA of servers and clients."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another CA."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="session")
def server_files(authority: Authority) -> Signed:
    """A server's certificate, for localhost."""
    return authority.sign("DNS:localhost,IP:127.0.0.1")


@pytest.fixture(scope="session")
def client_files(authority: Authority) -> Signed:
    """A client's certificate, with the URI `CLIENT`."""
    return authority.sign(f"URI:{CLIENT},DNS:CI.example.org")
