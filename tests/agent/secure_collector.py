"""The small collector with mutual TLS, and agents that trust it and are trusted."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from recorder.rpc.tls import server_credentials
from tests.agent.collector import Collector
from tests.agent.process import NODE, AgentProcess
from tests.unit.rpc.certificates import Authority, Signed

Uplinked = Callable[[AgentProcess], AbstractContextManager[Collector]]


class SecureCollector(Collector):
    """With mutual TLS. gRPC takes credentials for one server only, so each start has its own."""

    signed: Signed
    authority: Authority

    def start(self) -> None:
        """As Collector.start."""
        self.credentials = server_credentials(self.signed.files(self.authority.certificate))
        super().start()


def collector_flags(authority: Authority) -> tuple[str, ...]:
    """An agent's flags to trust and to be trusted, without the endpoint."""
    own = authority.sign(f"DNS:{NODE}")
    files = {
        "--collector-certificate": own.certificate,
        "--collector-key": own.key,
        "--collector-ca": authority.certificate,
    }
    return tuple(word for flag, path in files.items() for word in (flag, str(path)))


def uplinked_by(authority: Authority, flags: tuple[str, ...]) -> Uplinked:
    """`with uplinked_by(...)(agent) as collector`: it serves, and the agent has its flags, with these."""
    signed = authority.sign("DNS:localhost,IP:127.0.0.1")

    @contextlib.contextmanager
    def serve(agent: AgentProcess) -> Iterator[Collector]:
        collector = SecureCollector("127.0.0.1:0")
        collector.signed, collector.authority = signed, authority
        try:
            collector.start()
            agent.settings += ("--collector-endpoint", collector.address, *flags)
            yield collector
        finally:
            collector.close()

    return serve
