"""The two commands that remove it leave nothing on the node, and take nothing that is not ours. Run last."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.client import Client, Object
from tests.cluster.installed.installation import AGENT, HERE, PLACE, SECONDS, Installation, is_final
from tests.cluster.node.ground import Ground
from tests.cluster.node.pods import container, phase, pod

pytestmark = pytest.mark.root
KINDS = ("SeccompProfile", "ProfileRecording")
# Where ours are on a node, by deploy/base: pins, the state, the spool.
FOLDERS = ("/sys/fs/bpf/recorder", "/run/recorder", "/var/lib/recorder/spool")


def written(client: Client, kind: str) -> dict[str, str]:
    """Each object as it is stored, less who may say when it was looked at."""
    return {each["metadata"]["name"]: json.dumps(each, sort_keys=True) for each in client.objects(kind)}


def there(ground: Ground) -> dict[str, bool]:
    return {folder: ground.path(folder).exists() for folder in FOLDERS}


def chains(ground: Ground) -> set[str]:
    """Chains of the node's iptables."""
    saved = ground.run("iptables-save").stdout.decode()
    return {line.split()[0] for line in saved.splitlines() if line.startswith(":")}


def cgroups(installation: Installation) -> set[Path]:
    """All of the node on cgroup2 that are named after us."""
    cgroup2 = installation.cluster.ground.layout.cgroup2
    ours = cgroup2 / installation.cluster.ground.cgroup.lstrip("/")
    return {Path(found) for found, _, _ in os.walk(ours) if "recorder" in Path(found).name} - {ours}


def test_two_commands_remove_all_of_it(installation: Installation) -> None:
    """In the middle of a recording: its profile stays, and so do the kinds, byte for byte."""
    client, pods, ground = installation.client, installation.pods, installation.cluster.ground
    place = installation.opted_in(f"left-{os.getpid()}")
    installation.record(place, "left")
    installation.planned()
    made = pod(place, "left", container("main", "five"), labels={"app": "left"}, restartPolicy="Never")
    pods.run(made, lambda found: phase(found) == "Succeeded")
    client.delete("Pod", "left", place)
    installation.profile("left-main", is_final)
    pods.run(pod(place, "runs", container("main", "signals", "1000000"), labels={"app": "left"}))
    installation.profile("left-main", lambda each: each)
    assert all(there(ground).values())
    assert any(ground.path(FOLDERS[0]).iterdir())
    kinds = written(client, "CustomResourceDefinition")
    before = chains(ground)

    installation.apply(installation.build(HERE / "remove"))
    pods.rolled_out("DaemonSet", AGENT, PLACE, SECONDS)
    assert not any(there(ground).values()), there(ground)
    assert cgroups(installation) == set()

    profiles: dict[str, Any] = {kind: written(client, kind) for kind in KINDS}
    manifests = installation.build(HERE / "overlay")
    installation.cluster.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=manifests)
    client.wait("Namespace", PLACE, lambda found: found is None, seconds=SECONDS)
    assert [*ground.path("/sys/fs/bpf").rglob("*recorder*")] == []
    assert chains(ground) <= before
    assert written(client, "CustomResourceDefinition") == kinds
    assert {kind: written(client, kind) for kind in KINDS} == profiles
    assert "left-main" in profiles["SeccompProfile"]
    for kind in ("ClusterRole", "ClusterRoleBinding"):
        assert [name for name in written(client, kind) if "profile-recorder" in name] == []
    _is_as_before(client.get("Pod", "runs", place))


def _is_as_before(runs: Object) -> None:
    """Somebody's pod was in the middle of a recording, and goes on."""
    (status,) = runs["status"]["containerStatuses"]
    assert status["restartCount"] == 0
    assert "running" in status["state"]
