"""Certificates for the collector's tests, made once."""

import pytest

from tests.collector.ground import Certificates
from tests.unit.rpc.certificates import Authority


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA, the server's certificate, and those of nodes as they are asked for."""
    authority = Authority(tmp_path_factory.mktemp("collector-ca"))
    return Certificates(authority, authority.sign("DNS:localhost,IP:127.0.0.1"))
