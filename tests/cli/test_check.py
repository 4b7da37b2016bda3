"""`recorder check`."""

import argparse
import json

import pytest

from recorder.cli import check, machine
from recorder.kernel.denial_sources import OpenedDenials
from recorder.model.errors import UnsupportedKernel
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
        "denials",
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


class _Source:
    name = "lsm"

    def close(self):
        pass


@pytest.mark.parametrize(
    ("release", "source", "pinned"),
    [("5.10.0", "lsm", False), ("5.15.0", "lsm", True), ("6.1.0", "netlink", False)],
)
def test_denials_by_what_and_whether_they_can_be_pinned(monkeypatch, release, source, pinned):
    """Links of kprobes can be pinned from 5.15 on; what reads the audit log cannot."""

    class Uname:
        pass

    Uname.release = release
    monkeypatch.setattr(machine.os, "uname", Uname)
    monkeypatch.setattr(_Source, "name", source)
    opened = OpenedDenials(_Source(), "apparmor", "since it works")
    monkeypatch.setattr(machine, "open_denials", lambda *_: opened)
    found = machine._denials()
    assert found.good
    assert found.found.startswith(f"apparmor by {source}, since it works")
    assert ("cannot be pinned" in found.found) != pinned


def test_no_denials_are_no_reason_not_to_record(monkeypatch):
    """It is said why there are none."""

    def refused(*_):
        raise UnsupportedKernel("neither is active")

    monkeypatch.setattr(machine, "open_denials", refused)
    found = machine._denials()
    assert (found.good, found.needed, found.remedy) == (False, False, "neither is active")
    assert "UNSUPPORTED_KERNEL" in found.found
