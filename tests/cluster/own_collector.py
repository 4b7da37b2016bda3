"""A collector that has a CA of its own, as the manifests deploy it: a real process, a real API server."""

import re
import urllib.request
from pathlib import Path

from tests.agent.secured import free_ports
from tests.cluster.api_server import ApiServer
from tests.cluster.deployed import Deployed
from tests.collector.process import QUICK, WAIT, CollectorProcess

LIFE = 10
"""Seconds for which certificates hold here; they are renewed after half of it."""


class OwnCollector(CollectorProcess):
    """It signs agents' certificates and its own."""

    def __init__(self, folder: Path, deployed: Deployed, server: ApiServer) -> None:
        kubeconfig = server.kubeconfig_of(deployed.collector.token(), f"collector-{deployed.namespace}")
        super().__init__(folder, None, ("--kubeconfig", str(kubeconfig)), QUICK)  # type: ignore[arg-type]
        self.enrol_port, self.metrics_port, self.plain_port = free_ports(3)
        self.namespace = deployed.namespace

    @property
    def identity(self) -> dict[str, object]:
        return {
            "--enrolment-address": f"127.0.0.1:{self.enrol_port}",
            "--enrolment-directory": self.folder / "identity",
            "--enrolment-server-names": "localhost",
            "--enrolment-namespace": self.namespace,
            "--enrolment-life": f"{LIFE}s",
            "--web-metrics-address": f"127.0.0.1:{self.metrics_port}",
            "--web-plain-metrics": f"127.0.0.1:{self.plain_port}",
        }

    def counted(self) -> dict[str, int]:
        """Requests for certificates by what became of them."""
        return self._by_label("enrolments_total")

    def ended(self, reason: str) -> int:
        """Streams of agents that ended for a reason."""
        return self._by_label("agent_streams_ended_total").get(reason, 0)

    def _by_label(self, name: str) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plain_port}/metrics", timeout=WAIT) as page:
            text = page.read().decode()
        found = re.findall(rf'^recorder_collector_{name}\{{\w+="(\w+)"\}} (\S+)$', text, re.MULTILINE)
        return {label: int(float(count)) for label, count in found}
