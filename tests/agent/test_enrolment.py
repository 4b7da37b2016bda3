"""A real agent without a certificate, and a collector that signs one: real gRPC, a fake platform."""

import asyncio
import contextlib
import threading
import time

import pytest

from tests.agent.process import NODE, WAIT, AgentProcess
from tests.collector.enrolling import Office, office
from tests.collector.ground import Ground, ground

pytestmark = pytest.mark.root


@pytest.fixture
def enrolling(tmp_path):
    """An office and a collector of the same CA, in a loop of their own: `do(work)`, `made`, `collector`."""

    class Enrolling:
        made: Office
        collector: Ground

        def __init__(self):
            self.loop = asyncio.new_event_loop()
            self.stack = contextlib.AsyncExitStack()
            self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
            self.thread.start()
            self.do(self.begin())

        def do(self, work):
            return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT)

        async def begin(self):
            folder = tmp_path / "office"
            folder.mkdir()
            self.made = await self.stack.enter_async_context(office(folder))
            self.collector = await self.stack.enter_async_context(ground(self.made.certificates, folder))

        def close(self):
            self.do(self.stack.aclose())
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(WAIT)
            self.loop.close()

    found = Enrolling()
    yield found
    found.close()


def until(agent: AgentProcess, what):
    """The status, once it is so."""
    end = time.monotonic() + WAIT
    while not what(status := agent.status()):
        assert time.monotonic() < end, status
        time.sleep(0.05)
    return status


def test_an_agent_gets_its_certificate(agent, enrolling, tmp_path):
    """It serves before it has one, says what is missing, and connects as its node as soon as it can."""
    ca, token = tmp_path / "ca.crt", tmp_path / "token"
    agent.settings += (
        *("--collector-endpoint", f"localhost:{enrolling.collector.agents.tcp_port}"),
        *("--collector-ca", str(ca), "--enrolment-token", str(token)),
        *("--enrolment-endpoint", enrolling.made.address),
    )
    agent.start()
    status = until(agent, lambda status: "is not there yet" in status.uplink.problem)
    assert not status.uplink.connected
    assert status.uplink.certificate_ends == 0
    enrolling.made.nodes.tokens["good"] = NODE
    token.write_text("good")
    ca.write_bytes(enrolling.made.ca.read_bytes())
    status = until(agent, lambda status: status.uplink.connected)
    assert status.uplink.problem == ""
    assert abs(status.uplink.certificate_ends - (time.time() + 86_400)) < 60

    async def nodes():
        await enrolling.collector.until(lambda: NODE in enrolling.collector.service.nodes)

    enrolling.do(nodes())
    assert enrolling.made.figures.enrolments["signed"] == 1
    assert agent.terminate() == 0
    assert not any(b"PRIVATE" in each.read_bytes() for each in agent.folder.rglob("*") if each.is_file())
