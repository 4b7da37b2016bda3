"""The collector's settings: in step with their example, and refused where they exclude each other."""

import argparse
import dataclasses
import tomllib
from pathlib import Path

import pytest

from recorder.collector.settings import SOURCES, Settings
from recorder.model.errors import InvalidSettings
from recorder.service.setting import setting_of

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy" / "collector.example.toml"
CERTIFICATES = ("--listen-certificate", "/c", "--listen-key", "/k", "--listen-client-ca", "/a")


def loaded(*arguments, environment=None, file=None):
    parser = argparse.ArgumentParser(exit_on_error=False)
    SOURCES.add_flags(parser)
    return SOURCES.load(parser.parse_args(arguments), environment or {}, file=file)


def test_the_example_parses_to_the_defaults_and_has_every_setting():
    """Who copies it changes nothing; its flags are in it."""
    assert loaded(file=EXAMPLE) == loaded() == Settings()
    document = tomllib.loads(EXAMPLE.read_text())
    every = {
        (section.name, each.name): setting_of(section.name, each).flag
        for section in dataclasses.fields(Settings)
        for each in dataclasses.fields(section.default)
    }
    assert {(section, name) for section, content in document.items() for name in content} == set(every)
    text = EXAMPLE.read_text().replace("\n#", "")
    assert [flag for flag in every.values() if f"({flag})" not in text] == []


def test_its_variables_have_its_own_prefix(tmp_path):
    """Those of the agent are not its; a Service called recorder-collector sets none of them."""
    settings = loaded(
        environment={
            "RECORDER_COLLECTOR_RECHECK": "5s",
            "RECORDER_COLLECTOR_KUBERNETES_NAMESPACES": "a,b",
            "RECORDER_AGENT_NODE": "n",
            "RECORDER_COLLECTOR_SERVICE_HOST": "10.0.0.1",
            "RECORDER_COLLECTOR_PORT_7443_TCP": "tcp://10.0.0.1:7443",
        }
    )
    assert settings.collector.recheck == 5
    assert settings.kubernetes.namespaces == ("a", "b")
    with pytest.raises(InvalidSettings, match=r"RECORDER_COLLECTOR_STORE_SIZES is no setting: did you mean"):
        loaded(environment={"RECORDER_COLLECTOR_STORE_SIZES": "1GiB"})
    file = tmp_path / "c.toml"
    file.write_text("[store]\nsize = '5MB'\n")
    with pytest.raises(InvalidSettings, match=r"c\.toml: store\.size is '5MB'; it must be a size"):
        loaded("--config", str(file))
    file.write_text("[roles]\n")
    with pytest.raises(InvalidSettings, match=r"there is no section \[roles\]"):
        loaded("--config", str(file))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen-agents", ":1"], "must be HOST:PORT"),
        (
            ["--listen-agents", "[::]:1"],
            r"set listen\.certificate, listen\.key, listen\.client_ca too",
        ),
        (["--listen-agents", "[::]:1", *CERTIFICATES[:4]], r"set listen\.client_ca too"),
        (["--listen-address", "[::]:1"], r"set listen\.certificate, listen\.key too"),
        (["--web-metrics-address", "h:1", *CERTIFICATES[:4]], r"set listen\.client_ca too"),
        (["--web-plain-metrics", "0.0.0.0:9464"], "metrics without TLS are for the loopback alone"),
        (["--socket", ""], "no agent could reach this collector"),
        (["--results-first-write", "2m"], "the first distance must not be the larger one"),
        (["--recordings", "/a"], r"folders\.results is missing"),
        (["--results", "/a"], r"folders\.recordings is missing"),
        (["--recordings", "/a", "--results", "/a"], "use two folders"),
        (["--recordings", "a", "--results", "/b"], "must be an absolute path"),
        (["--namespace", "Shop"], "it must be a namespace"),
        (["--node-names", "spiffe://x/y"], r"with \{node\} in it"),
        (["--node-names", "{node}.{node}"], r"with \{node\} in it"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    """With what is missing, or what is right."""
    with pytest.raises(InvalidSettings, match=message):
        loaded(*arguments)


def test_people_need_no_ca_of_clients():
    """They have tokens."""
    assert loaded("--listen-address", "[::]:1", *CERTIFICATES[:4]).listen.client_ca is None
