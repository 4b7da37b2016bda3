"""`recorder check`."""

import argparse
import json

import pytest

from recorder.cli import check, machine
from recorder.model.finding import Finding


@pytest.mark.root
def test_this_machine_can_record(recorder_cli):
    done = recorder_cli.run("check")
    assert done.returncode == 0
    assert done.stdout.decode().splitlines()[-1] == "this machine can record"


@pytest.mark.root
def test_json_has_every_point(recorder_cli):
    answer = json.loads(recorder_cli.run("check", "--json").stdout)
    assert answer["can_record"] is True
    points = {point["point"] for point in answer["points"]}
    assert points >= {
        "kernel",
        "BTF",
        "cgroup v2",
        "bpffs",
        "privileges",
        "security modules",
        "headers",
        "loader",
    }


def test_what_is_missing_is_named_with_what_to_do(monkeypatch, capsys):
    """A needed point makes the answer no; another one does not."""
    missing = Finding("BTF", good=False, needed=True, found="none", remedy="boot another kernel")
    wished = Finding("bpffs", good=False, needed=False, found="not mounted", remedy="mount it")
    monkeypatch.setattr(check, "examine", lambda: [missing, wished])
    assert check.run(_options(json=False)) == 1
    text = capsys.readouterr().out
    assert "MISSING BTF    none" in text
    assert "-> boot another kernel" in text
    assert text.splitlines()[-1].startswith("this machine cannot record")
    monkeypatch.setattr(check, "examine", lambda: [wished])
    assert check.run(_options(json=True)) == 0
    assert json.loads(capsys.readouterr().out)["can_record"] is True


def test_an_old_kernel_is_told_apart(monkeypatch):
    """5.8 is the first that will do: with bcc; libbpf needs 5.15."""

    class Uname:
        release = "5.7.0-28-amd64"
        machine = "x86_64"

    monkeypatch.setattr(machine.os, "uname", Uname)
    assert not machine._kernel().good
    Uname.release = "5.8.0"
    assert machine._kernel().good


def _options(**values):
    return argparse.Namespace(cluster=False, kubeconfig=None, account=None, **values)
