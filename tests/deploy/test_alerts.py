"""The rules for alerts: valid for Prometheus, of metrics that there are, each fires, each is explained."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy.rendered import ROOT, Everything, Object
from tests.guest.build.tool import run_tool
from tests.guest.cache import Artefact

HERE = Path(__file__).parent


@pytest.fixture
def rule(everything: Everything) -> Object:
    return everything["overlays/monitoring"].one("PrometheusRule", "profile-recorder")


def alerts(rule: Object) -> list[Object]:
    return [each for group in rule["spec"]["groups"] for each in group["rules"]]


def test_prometheus_takes_them_and_each_fires(rule: Object, tools: Artefact, tmp_path: Path) -> None:
    """`promtool check rules` and `test rules`: where all is well none fires, where nothing is each."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    tests = yaml.safe_load((HERE / "rules_test.yaml").read_text())
    (tmp_path / "rules_test.yaml").write_text(yaml.safe_dump(tests))
    run_tool(tools / "promtool", "check", "rules", "--lint=all", "--lint-fatal", tmp_path / "rules.yaml")
    run_tool(tools / "promtool", "test", "rules", tmp_path / "rules_test.yaml")
    fired = {
        re.search(r'alertname="(\w+)"', each["labels"])[1]  # type: ignore[index]
        for each in tests["tests"][1]["promql_expr_test"][0]["exp_samples"]
    }
    assert fired == {each["alert"] for each in alerts(rule)}
    shutil.rmtree(tmp_path)


def test_metrics_are_those_that_there_are(rule: Object) -> None:
    """Names and labels as in docs/metrics.md, which is generated from the code."""
    rows = re.findall(
        r"^\| `(recorder_\w+)` \|[^|]*\|[^|]*\|(.*)\|$", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    labels = {name: set(re.findall(r"`(\w+)`", text)) for name, text in rows}
    for each in alerts(rule):
        for name, selector in re.findall(
            r"\b(recorder_(?:agent|collector)_\w+)(?:\{([^}]*)\})?", each["expr"]
        ):
            assert name in labels, (each["alert"], name)
            for label, _ in re.findall(r'(\w+)[!=][=~]?"([^"]*)"', selector):
                assert label in labels[name], (each["alert"], name, label)


def test_each_alert_says_what_to_do(rule: Object) -> None:
    """A section of docs/operating.md for each alert, and no other."""
    section = (ROOT / "docs/operating.md").read_text().partition("## Alerts\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"^### (\w+)$", section, re.MULTILINE)) == {each["alert"] for each in alerts(rule)}


def test_the_monitors_ask_where_it_is_served(everything: Everything) -> None:
    """Server names and the names of certificates are those that the settings and the certificates have."""
    rendered = everything["overlays/monitoring"]
    (collector,) = dict(rendered.pods())["recorder-collector"]["containers"]
    (endpoint,) = rendered.one("ServiceMonitor", "recorder-collector")["spec"]["endpoints"]
    assert f"--enrolment-server-names={endpoint['tlsConfig']['serverName']}" in collector["args"]
    (agent,) = dict(rendered.pods())["recorder-agent"]["containers"]
    certificates = everything["overlays/cert-manager"]
    (asked,) = rendered.one("PodMonitor", "recorder-agent")["spec"]["podMetricsEndpoints"]
    served = certificates.one("Certificate", "recorder-agent-metrics")["spec"]
    assert served["dnsNames"] == [asked["tlsConfig"]["serverName"]]
    assert served["secretName"] == asked["tlsConfig"]["ca"]["secret"]["name"]
    client = certificates.one("Certificate", "recorder-prometheus")["spec"]
    assert client["secretName"] == asked["tlsConfig"]["cert"]["secret"]["name"]
    (name,) = client["dnsNames"]
    assert f"--role={name}=status" in agent["args"]
