"""A life of a collector with all that it does: its seccomp profile is recorded from it, and proven by it.

As the manifests deploy it, against a real API server: its CA and certificates, enrolment, an agent that
reports and comes back, results that appear, grow and are final, people and Prometheus who ask, clients that
mean harm, SIGKILL, and its end.
"""

import contextlib
import http.client
import json
import os
import random
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

from recorder.agent.enrolment import Enrolment
from recorder.agent.uplink import Pace
from tests.cluster.api_server import ApiServer
from tests.cluster.client import GROUP
from tests.cluster.deployed import Deployed, deploy
from tests.cluster.own_collector import OwnCollector
from tests.cluster.scene import OPT_IN, Scene, names, state
from tests.collector.process import WAIT
from tests.collector.simulated_agent import SimulatedAgent

AUDIENCE = "recorder-collector"
PACE = Pace(first_backoff=0.05, last_backoff=0.5)
READ = [{"apiGroups": [GROUP], "resources": ["profilerecordings"], "verbs": ["get"]}]
SCRAPE = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]


@dataclass(slots=True)
class CollectorLife:
    """`run` raises AssertionError if it cannot live. `prefix`: words before those of its process."""

    server: ApiServer
    deployed: Deployed
    collector: OwnCollector
    namespace: Callable[..., str]
    folder: Path
    prefix: Sequence[str]

    def run(self) -> None:
        """The whole life: some fifteen seconds, with an end by SIGTERM."""
        self._looks_at_its_settings()
        with self.collector:
            scene = Scene(self.server, self.namespace, self.collector)
            try:
                self._lives(scene)
            finally:
                scene.close()
            assert self.collector.stop() == 0

    @property
    def ca(self) -> Path:
        return self.collector.folder / "identity/ca.crt"

    def _command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """As one that is exec'd into its pod."""
        command = [*self.prefix, sys.executable, "-m", "recorder.cli.main", *words]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=WAIT)

    def _looks_at_its_settings(self) -> None:
        assert self._command("collector", *self.collector.flags, "--check").returncode == 0
        assert self._command("--version").returncode == 0

    def _lives(self, scene: Scene) -> None:
        token = self.folder / "token"
        token.write_text(self.deployed.agent.token(AUDIENCE, seconds=600, pod=self.deployed.pod()))
        place = scene.namespace(OPT_IN)
        web = scene.container(scene.pod(place, "web"))
        scene.record(place, f"r-{place}")

        async def begin() -> tuple[Enrolment, SimulatedAgent]:
            enrolment = Enrolment(
                f"localhost:{self.collector.enrol_port}", token, self.ca, "node-a", pace=PACE
            )
            agent = SimulatedAgent(f"localhost:{scene.wire.port}", "node-a", enrolment.credentials)
            return enrolment, agent

        enrolment, agent = scene.do(begin())
        tasks = [scene.loop.start(enrolment.run()), scene.loop.start(agent.uplink.run())]
        try:
            scene.act(lambda: agent.see(web, "execve", "read"))
            scene.stored(agent)
            scene.profile(f"r-{place}-web", lambda each: state(each) == "recording")
            self._is_asked(scene, place)
            self._meets_harm()
            self.collector.kill()
            scene.act(lambda: agent.see(web, "write"))
            self.collector.start()
            scene.stored(agent)
            self._renews(enrolment)
            scene.act(lambda: (agent.see(web, "uname"), agent.end(web)))
            scene.stored(agent)
            profile = scene.profile(f"r-{place}-web", lambda each: state(each) == "final")
            assert {"execve", "read", "write", "uname"} <= set(names(profile))
            scene.client.delete("ProfileRecording", f"r-{place}", place)
        finally:
            scene.do(agent.uplink.close(0))
            for each in tasks:
                each.cancel()

    def _renews(self, enrolment: Enrolment) -> None:
        """Until a certificate has been renewed, its own one too."""
        first, own = enrolment.ends, (self.collector.folder / "identity/server.pem").stat().st_ino
        until(lambda: enrolment.ends > first)
        until(lambda: (self.collector.folder / "identity/server.pem").stat().st_ino != own)

    def _is_asked(self, scene: Scene, place: str) -> None:
        """By people with a token, by root through the socket, by probes, by Prometheus."""
        reader = scene.server.service_account(place)
        scene.server.grant(reader, READ, place)
        file = self.folder / "reader"
        file.write_text(reader.token())
        where = ["--collector", f"localhost:{self.collector.people_port}", "--ca", str(self.ca)]
        people = [sys.executable, "-m", "recorder.cli.main", "records", *where, "--token-file", str(file)]
        done = subprocess.run([*people, "--json"], check=True, capture_output=True, text=True, timeout=WAIT)
        assert any(place in json.dumps(json.loads(line)) for line in done.stdout.splitlines())
        own = self._command("records", "--collector", f"unix:{self.collector.socket}", "--explain")
        assert own.returncode == 0, own.stderr
        for path in ("/healthz", "/readyz"):
            assert self._get(self.collector.probe_port, path) == 200
        account = scene.server.service_account(self.deployed.namespace)
        scene.server.grant(account, SCRAPE)
        assert self._get(self.collector.metrics_port, "/metrics", account.token()) == 200
        assert self._get(self.collector.metrics_port, "/metrics", reader.token()) == 403

    def _get(self, port: int, path: str, token: str = "") -> int:
        made: http.client.HTTPConnection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT)
        if token:
            context = ssl.create_default_context(cafile=str(self.ca))
            made = http.client.HTTPSConnection("localhost", port, timeout=WAIT, context=context)
        with contextlib.closing(made):
            made.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            answer = made.getresponse()
            answer.read()
            return answer.status

    def _meets_harm(self) -> None:
        """Noise at each port, no certificate, tokens that do not count."""
        collector = self.collector
        source = random.Random(1)
        ports = (collector.port, collector.people_port, collector.enrol_port, collector.metrics_port)
        for port in (*ports, collector.probe_port):
            with socket.create_connection(("127.0.0.1", port), timeout=WAIT) as client:
                client.sendall(source.randbytes(1000))
        credentials = grpc.ssl_channel_credentials(self.ca.read_bytes())
        for port in ports[:3]:
            with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
                call = channel.unary_unary("/recorder.rpc.v1.Collector/GetRecords")
                with contextlib.suppress(grpc.RpcError):
                    call(b"", timeout=WAIT)
        file = self.folder / "forged"
        file.write_text("forged")
        where = ["--collector", f"localhost:{collector.people_port}", "--ca", str(self.ca)]
        done = self._command("records", *where, "--token-file", str(file))
        assert done.returncode == 3, done


def until(what: Callable[[], bool]) -> None:
    """Until it is so; AssertionError."""
    deadline = time.monotonic() + WAIT
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@contextlib.contextmanager
def collector_life(
    server: ApiServer, namespace: Callable[..., str], folder: Path, prefix: Sequence[str] = ()
) -> Iterator[CollectorLife]:
    """All that a life needs; what it made of no namespace is gone afterwards. `prefix`: what confines it."""
    deployed = deploy(server.client, namespace())
    try:
        collector = OwnCollector(folder / "collector", deployed, server)
        collector.prefix = tuple(prefix)
        os.makedirs(folder, exist_ok=True)
        yield CollectorLife(server, deployed, collector, namespace, folder, prefix)
    finally:
        deployed.remove()
